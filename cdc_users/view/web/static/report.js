// Draws report.html's charts from the data in the page.
(function () {
  "use strict";

  const { lines, heat, figures, overTime, redraw } = window.cdcChart;
  const { stacked } = window.cdcPipeline;
  const data = JSON.parse(document.getElementById("data").textContent);
  const POINTS_PER_DECADE = 40;

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  function wear(theme) {
    document.body.dataset.theme = theme;
    redraw();
  }
  const follow = () => wear(dark.matches ? "dark" : "light");
  dark.addEventListener("change", follow);
  window.addEventListener("beforeprint", () => wear("light"));
  window.addEventListener("afterprint", follow);
  follow();

  const PARTS = data.series.parts;
  const named = (series) => series.map(([key, name, colour]) => ({ key, name, colour }));

  // Where the step or its stage changes.
  function marks(timeline) {
    const found = [];
    (timeline.step || []).forEach((step, index) => {
      const prefix = `${data.scenario}-`;
      const short = (name) => (name && name.startsWith(prefix) ? name.slice(prefix.length) : name);
      const name = [short(step), short((timeline.stage || [])[index])].filter((part, at, all) => part && all.indexOf(part) === at).join(" · ");
      if (!found.length || found[found.length - 1].name !== name) found.push({ x: timeline.elapsed_s[index], name });
    });
    return found;
  }

  function drawTimeline() {
    const timeline = data.timeline;
    const place = document.getElementById("timeline");
    const found = marks(timeline);
    overTime(place, data.charts).update(timeline, found);
    if (data.heat.columns) heat(place, data.heat_chart).update({ ...data.heat, marks: found });
  }

  const percentile = (decade) => (decade === 0 ? "0 %" : `${(100 * (1 - 10 ** -decade)).toFixed(Math.max(0, Math.ceil(decade - 1e-9) - 2))} %`);

  function plot(title, found) {
    const known = found.filter(([, values]) => values.some((value) => value !== null));
    if (!known.length) return;
    const length = Math.max(...known.map(([, values]) => values.filter((value) => value !== null).length));
    const chart = lines(document.getElementById("percentiles"), {
      title, unit: "ms", log: true, xName: "percentile", xText: percentile,
      xSplits: (low, high) => Array.from({ length: Math.floor(high + 1e-9) + 1 }, (_, index) => index).filter((value) => value >= low - 1e-9),
      least: 1,
      series: known.map(([name], index) => ({ key: `s${index}`, name, colour: index + 1 })),
      note: "The axis stretches towards 100 %; a line ends where fewer than ten samples lie beyond." });
    chart.update({
      x: Array.from({ length }, (_, index) => index / POINTS_PER_DECADE),
      series: Object.fromEntries(known.map(([, values], index) => [`s${index}`, values.slice(0, length)])), marks: [] });
  }

  drawTimeline();
  const own = document.getElementById("figures");
  figures(own, data.figures);
  own.closest("section").classList.toggle("cdc-away", !data.figures.length);
  stacked(document.getElementById("split"), { title: "Mean latency by stage", unit: "mean ms", short: "ms", parts: named(PARTS) }).update(data.split);
  plot("End to end, by percentile", data.percentiles.map(({ step, series }) => [step, series.end_to_end || []]));
  for (const { step, series } of data.percentiles.slice(-1)) {
    plot(`Stages of ${step}, by percentile`, PARTS.map(([key, name]) => [name, series[key] || []]));
    plot(`Generator in ${step}, by percentile`, data.series.generator.map(([key, name]) => [name, series[key] || []]));
  }
})();
