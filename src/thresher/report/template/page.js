(function () {
  "use strict";
  const root = document.documentElement;
  root.classList.add("js");
  const byId = (id) => document.getElementById(id);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`)?.value;

  /* Examples: one score at a time, long texts folded. */
  for (const input of all('input[name="example-score"]')) {
    input.addEventListener("change", () => {
      for (const panel of all("[data-panel]")) panel.classList.toggle("chosen", panel.dataset.panel === input.value);
    });
  }
  for (const button of all("button.more")) {
    button.addEventListener("click", () => {
      const open = button.previousElementSibling.classList.toggle("open");
      button.setAttribute("aria-expanded", String(open));
      button.textContent = open ? "Show less" : "Show all";
    });
  }

  /* Groups: sorting and finding. Empty values come last in either order. */
  const table = byId("group-table");
  if (table) {
    const body = table.tBodies[0];
    const headings = all("thead th", table);
    const key = (row, column) => row.cells[column].dataset.value;
    headings.forEach((heading, column) => {
      const button = heading.querySelector("button");
      button.addEventListener("click", () => {
        const numeric = button.dataset.kind === "number";
        const now = heading.getAttribute("aria-sort");
        const ascending = now ? now === "descending" : !numeric;
        const order = (a, b) => {
          const x = key(a, column), y = key(b, column);
          if (x === "" || y === "") return (x === "") - (y === "");
          const difference = numeric ? Number(x) - Number(y) : x.localeCompare(y);
          return ascending ? difference : -difference;
        };
        body.append(...[...body.rows].sort(order));
        for (const other of headings) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      });
    });
    const show = () => {
      const group = byId("group-name")?.value ?? "";
      const wanted = byId("group-find").value.trim().toLocaleLowerCase();
      let shown = 0;
      for (const row of body.rows) {
        const fits = (!group || row.dataset.group === group) && key(row, 0).toLocaleLowerCase().includes(wanted);
        row.hidden = !fits;
        shown += fits;
      }
      byId("group-count").textContent = `${shown.toLocaleString("en")} of ${body.rows.length.toLocaleString("en")}`;
    };
    byId("group-name")?.addEventListener("change", show);
    byId("group-find").addEventListener("input", show);
    show();
  }

  /* Charts: counts per bin are precomputed; the library is unpacked when the section comes near the viewport. */
  const data = JSON.parse(byId("charts-data").textContent);
  if (!data) return;
  const FEW_CLASSES = 6;
  const FORMS = { raw: "not normalised", class: "normalised per class", dataset: "normalised over all rows" };
  const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
  const format = (number) => number.toLocaleString("en");
  const digits = (number) => Number(number.toPrecision(4)).toLocaleString("en", { maximumSignificantDigits: 4 });
  /* The library interprets tags and entities in its labels; names are plain text. */
  const label = (text, most = 40) => {
    const characters = [...text];
    const short = characters.length > most ? characters.slice(0, most - 1).join("") + "…" : text;
    return short.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/\s+/g, " ");
  };
  const { colour, layout, options } = charts;
  const scoreColour = (name) => {
    const place = byId("scores").querySelector(`input[value="${CSS.escape(name)}"] + span .dot`).style.getPropertyValue("--colour");
    return colour(place.slice(4, -1));
  };

  const state = { score: chosen("chart-score"), form: null, row: 0 };
  const forms = () => data.scores[state.score].forms;
  const takeDefault = () => {
    const entry = data.scores[state.score];
    state.form = entry.default in entry.forms ? entry.default : "raw";
    for (const input of all('input[name="chart-form"]')) {
      input.disabled = !(input.value in entry.forms);
      input.checked = input.value === state.form;
    }
  };
  const title = () => `${state.score}, ${FORMS[state.form]}`;
  const rowName = () => (state.row ? `class \u2068${data.classes[state.row - 1]}\u2069` : "all classes");
  const total = (values) => values.reduce((sum, value) => sum + value, 0);

  function geometry(found) {
    const left = found.edges.slice(0, -1), right = found.edges.slice(1);
    const names = found.values ? found.values.map(digits) : left.map((edge, i) => `${digits(edge)} to ${digits(right[i])}`);
    if (found.values && found.values.length > 1) {
      /* Single values: equal bars around each, 0.8 times as wide as the smallest gap. */
      const gap = Math.min(...found.values.slice(1).map((value, i) => value - found.values[i]));
      return { x: found.values, width: found.values.map(() => 0.8 * gap), names };
    }
    return { x: left.map((edge, i) => (edge + right[i]) / 2), width: left.map((edge, i) => right[i] - edge), names };
  }

  const xTitle = () => {
    const high = data.scores[state.score].hard === "high";
    return `${high ? "easy" : "hard"} ←  ${label(state.score)}  → ${high ? "hard" : "easy"}`;
  };

  /* Both charts share the x axis, so that a bar and a line at the same value are aligned. */
  const reach = (found) => [found.edges[0], found.edges[found.edges.length - 1]];

  function drawRows() {
    const found = forms()[state.form], { x, width, names } = geometry(found), tint = scoreColour(state.score);
    const [kept, removed] = found.counts.map((part) => part[state.row]);
    const bar = (name, y, marker) => ({ type: "bar", name, x, y, width, marker, customdata: names, hovertemplate: `%{customdata}<br>${name}: %{y:,}<extra></extra>` });
    const traces = [bar(data.selected ? "kept" : "rows", kept, { color: tint })];
    if (data.selected) {
      traces.push(bar("removed", removed, { color: colour("--card"), line: { color: tint, width: 1 }, pattern: { shape: "/", fgcolor: tint, bgcolor: colour("--card"), size: 5, solidity: 0.25 } }));
    }
    const rows = total(kept) + total(removed);
    const share = data.selected ? ` ${format(total(removed))} of them removed (${(100 * total(removed) / rows).toFixed(1)}%).` : "";
    const outside = found.outside ? ` ${format(found.outside)} rows of all classes are beyond the axis and are counted in the outermost bars.` : "";
    byId("chart-rows-caption").textContent = `${title()}; ${rowName()}: ${format(rows)} rows.${share}${outside}`;
    Plotly.react("chart-rows", traces, layout(320, { x: { title: { text: xTitle() }, range: reach(found) }, y: { title: { text: "rows" }, tickformat: "," }, whole: { barmode: "stack", bargap: 0, showlegend: data.selected } }), options);
  }

  function drawClasses() {
    const found = forms()[state.form], { x, names } = geometry(found);
    const shares = data.classes.map((_, i) => {
      const counts = found.counts[0][i + 1].map((kept, bin) => kept + found.counts[1][i + 1][bin]), rows = total(counts);
      return counts.map((value) => 100 * value / rows);
    });
    if (data.classes.length <= FEW_CLASSES) {
      byId("chart-classes-caption").textContent = `${title()}: each class, in percent of its rows.`;
      const traces = data.classes.map((name, i) => ({
        type: "scatter", mode: found.values ? "lines+markers" : "lines", name: label(name, 24), x, y: shares[i], customdata: names, text: names.map(() => label(name)),
        line: { color: colour(`--score-${i}`), dash: DASHES[i], width: 2, shape: found.values ? "linear" : "hvh" },
        hovertemplate: "%{text}<br>%{customdata}: %{y:.1f}%<extra></extra>",
      }));
      Plotly.react("chart-classes", traces, layout(340, { x: { title: { text: xTitle() }, range: reach(found) }, y: { title: { text: "% of the class" }, rangemode: "tozero" } }), options);
      return;
    }
    const order = data.classes.map((_, i) => i).sort((a, b) => found.summary[b + 1][4] - found.summary[a + 1][4]);
    const height = Math.max(360, Math.min(720, 90 + 14 * order.length)), named = order.length * 14 + 90 <= 720;
    byId("chart-classes-caption").textContent = `${title()}: each class is a line, highest median on top; the stronger the colour, the larger the share of its rows.` + (named ? "" : " Point at a line for its name.");
    const heat = {
      type: "heatmap", x: found.values ? x.map((_, i) => i) : x, y: order.map((_, i) => i), z: order.map((i) => shares[i]), text: order.map((i) => names.map((bin) => `${label(data.classes[i])}<br>${bin}`)),
      hovertemplate: "%{text}: %{z:.1f}%<extra></extra>", colorscale: [[0, colour("--card")], [1, scoreColour(state.score)]],
      zmin: 0, zmax: spread(shares.flat()), colorbar: { title: { text: "% of class", side: "right" }, thickness: 10, outlinewidth: 0, len: Math.min(1, 300 / height) },
    };
    const narrow = byId("chart-classes").clientWidth < 500;
    const ticks = named && !narrow ? { tickvals: order.map((_, i) => i), ticktext: order.map((i) => label(data.classes[i], 28)) } : { showticklabels: false, ticks: "", title: { text: `${order.length} classes` } };
    const valueTicks = found.values ? { tickvals: x.map((_, i) => i), ticktext: names } : {};
    Plotly.react("chart-classes", [heat], layout(height, { x: { title: { text: xTitle() }, ...valueTicks }, y: { ...ticks, autorange: "reversed", showgrid: false }, whole: { showlegend: false } }), options);
  }
  /* The colour scale ignores the largest 2% of the cells, so that they do not wash out the others. */
  const spread = (values) => { const sorted = values.filter((value) => value > 0).sort((a, b) => a - b); return sorted[Math.floor(0.98 * (sorted.length - 1))]; };

  function fillSummary() {
    const found = forms()[state.form], [kept, removed] = found.counts;
    byId("summary-caption").textContent = `${title()}: each class`;
    const cell = (row, text, kind) => { const made = document.createElement(kind || "td"); made.textContent = text; if (kind) made.scope = "row"; else made.className = "n"; row.append(made); };
    const order = data.classes.map((_, i) => i + 1).sort((a, b) => found.summary[b][4] - found.summary[a][4]);
    byId("chart-summary").tBodies[0].replaceChildren(...order.map((i) => {
      const row = document.createElement("tr"), gone = total(removed[i]), rows = total(kept[i]) + gone;
      cell(row, data.classes[i - 1], "th");
      row.firstChild.dir = "auto";
      cell(row, format(rows));
      cell(row, data.selected ? `${(100 * gone / rows).toFixed(0)}%` : "–");
      for (const place of [0, 1, 2, 4, 6]) cell(row, digits(found.summary[i][place]).replace("-", "−"));
      return row;
    }));
  }

  function draw() {
    fillSummary();
    if (!charts.able) {
      byId("chart-rows-caption").textContent = "This browser is too old to draw the charts; the tables have the figures.";
      return Promise.resolve();
    }
    return charts.unpacked().then(() => { drawRows(); drawClasses(); root.dataset.drawn = `${state.score} ${state.form} ${state.row}`; });
  }

  for (const input of all('input[name="chart-score"]')) input.addEventListener("change", () => { state.score = chosen("chart-score"); takeDefault(); draw(); });
  for (const input of all('input[name="chart-form"]')) input.addEventListener("change", () => { state.form = chosen("chart-form"); draw(); });
  byId("chart-class").addEventListener("change", (event) => { state.row = Number(event.target.value); draw(); });
  takeDefault();
  fillSummary();
  const near = new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting)) { near.disconnect(); draw(); } }, { rootMargin: "1500px" });
  near.observe(byId("scores"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (charts.started()) draw(); });
  addEventListener("beforeprint", () => { root.classList.add("printing"); if (window.Plotly) { drawRows(); drawClasses(); } });
  addEventListener("afterprint", () => { root.classList.remove("printing"); if (window.Plotly) { drawRows(); drawClasses(); } });
})();
