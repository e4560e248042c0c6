/* Shared by all charts of the page: colours of the theme, a layout, and the library, unpacked once. */
const charts = (function () {
  "use strict";
  const root = document.documentElement;
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  function layout(height, extra) {
    const axis = { gridcolor: colour("--rule"), zerolinecolor: colour("--rule"), linecolor: colour("--rule"), fixedrange: true, automargin: true };
    return {
      height, margin: { l: 48, r: 8, t: 8, b: 44 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: false,
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("--soft") },
      hoverlabel: { bgcolor: colour("--card"), bordercolor: colour("--rule"), font: { color: colour("--ink") } },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", traceorder: "normal" },
      xaxis: { ...axis, ...extra.x }, yaxis: { ...axis, ...extra.y }, ...extra.whole,
    };
  }
  const able = "DecompressionStream" in window;
  let ready = null;
  async function unpack() {
    const packed = Uint8Array.from(atob(document.getElementById("charts-library").textContent), (character) => character.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.text = await new Response(stream).text();
    document.head.append(script);
  }
  return { colour, layout, able, unpacked: () => (ready = ready || unpack()), started: () => ready !== null, options: { displayModeBar: false, responsive: true } };
})();
