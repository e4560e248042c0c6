/* Precomputed figures: this fills in colours and shows the row of a clicked point. */
(function () {
  "use strict";
  const element = document.getElementById("pictures-data");
  const figures = element ? JSON.parse(element.textContent) : [];
  if (!figures.length) return;
  const named = (text) => {
    const [name, opacity] = text.split("/");
    const value = charts.colour(name);
    if (!opacity || !value.startsWith("#")) return value;
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(value.slice(at, at + 2), 16));
    return `rgba(${r},${g},${b},${opacity})`;
  };
  const WORDS = new Set(["text", "places", "name", "hovertemplate", "x", "y", "customdata"]);
  const coloured = (value, key) => {
    if (WORDS.has(key)) return value;
    if (typeof value === "string") return value.startsWith("--") ? named(value) : value;
    if (Array.isArray(value)) return value.map((one) => coloured(one));
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([own, one]) => [own, coloured(one, own)]));
    return value;
  };
  /* The figure has the points of all rows once; each trace lists the indices of the points it shows. */
  const filled = (figure, trace) => {
    if (!figure.points) return trace;
    const of = (values) => trace.places.map((at) => values[at]);
    const { x, y, color } = figure.points;
    return { ...trace, x: of(x), y: of(y), marker: { ...trace.marker, color: of(color) } };
  };
  const place = (figure) => document.getElementById(`picture-${figure.id}`);
  const kept = (figure, traces) => {
    /* What was shown or hidden by hand stays so when the theme changes. */
    const drawn = place(figure).data;
    return drawn ? traces.map((trace, i) => ({ ...trace, visible: drawn[i].visible ?? trace.visible })) : traces;
  };
  function draw(figure) {
    const box = place(figure), { xaxis, yaxis, ...whole } = coloured(figure.layout);
    const many = figure.traces.length > 6 && whole.showlegend !== false;
    const legend = many && box.clientWidth > 700 ? { legend: { orientation: "v", x: 1.01, y: 1, yanchor: "top", traceorder: "normal" } } : {};
    const wanted = charts.layout(figure.height, { x: xaxis, y: yaxis, whole: { ...legend, ...whole } });
    if (wanted.yaxis2) wanted.yaxis2 = { fixedrange: true, automargin: true, ...wanted.yaxis2 };
    return Plotly.react(box, kept(figure, coloured(figure.traces.map((trace) => filled(figure, trace)))), wanted, charts.options).then(() => {
      box.dataset.drawn = "yes";
      if (box.dataset.listens) return;
      box.dataset.listens = "yes";
      box.on("plotly_click", (event) => {
        if (!figure.details) return;
        const point = event.points[0], places = figure.traces[point.curveNumber].places;
        document.getElementById(`picked-${figure.id}`).textContent = figure.details[places ? places[point.pointNumber] : point.pointNumber];
      });
    });
  }
  for (const figure of figures) {
    const menu = document.getElementById(`menu-${figure.id}`);
    menu?.addEventListener("change", () => {
      const shown = figure.traces.map((_, i) => i === Number(menu.value));
      figure.traces.forEach((trace, i) => { trace.visible = shown[i]; });
      if (place(figure).data) Plotly.restyle(place(figure), { visible: shown });
    });
    if (!charts.able) {
      place(figure).textContent = "This browser is too old to draw the charts.";
      continue;
    }
    const near = new IntersectionObserver((seen) => {
      if (!seen.some((one) => one.isIntersecting)) return;
      near.disconnect();
      charts.unpacked().then(() => draw(figure));
    }, { rootMargin: "800px" });
    near.observe(place(figure));
  }
  const again = () => { for (const figure of figures) if (place(figure).data) draw(figure); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  addEventListener("beforeprint", again);
  addEventListener("afterprint", again);
})();
