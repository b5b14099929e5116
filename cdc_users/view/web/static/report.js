// Draws report.html's charts from the data in the page.
(function () {
  "use strict";

  const { lines, stacked, size } = window.cdcChart;
  const data = JSON.parse(document.getElementById("data").textContent);
  const POINTS_PER_DECADE = 40;

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const follow = () => (document.body.dataset.theme = dark.matches ? "dark" : "light");
  dark.addEventListener("change", follow);
  follow();

  const OVER_TIME = [
    { title: "Events per second", unit: "1/s", series: [["offered_per_s", "offered", 6], ["sent_per_s", "sent", 1], ["delivered_per_s", "delivered", 2]] },
    { title: "End-to-end latency", unit: "ms", series: [["p50_ms", "p50", 3], ["p99_ms", "p99", 1], ["max_ms", "max", 2]],
      note: "A second needs 1,000 events to have a p99, and 20 to have a p50." },
    { title: "Backlog by place", unit: "events", series: [["backlog", "sent, not delivered", 6], ["consumer_lag", "topic, not committed", 1], ["queue_depth", "queues", 2], ["in_flight", "sink", 3]] },
    { title: "Slot lag", unit: "bytes", format: size, series: [["slot_lag_bytes", "WAL held back", 4]] },
    { title: "Platform memory", unit: "MB", series: [["uss_mb", "unique", 1], ["rss_mb", "resident", 2]] },
  ];
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

  function overTime() {
    const timeline = data.timeline;
    for (const spec of OVER_TIME) {
      const series = Object.fromEntries(spec.series.map(([key]) => [key, timeline[key] || []]));
      if (!Object.values(series).some((values) => values.some((value) => value !== null))) continue;
      const chart = lines(document.getElementById("timeline"), { ...spec, series: named(spec.series) });
      chart.update({ x: timeline.elapsed_s, series, marks: marks(timeline) });
    }
  }

  const percentile = (decade) => (decade === 0 ? "0 %" : `${(100 * (1 - 10 ** -decade)).toFixed(Math.max(0, Math.ceil(decade - 1e-9) - 2))} %`);

  function plot(title, found) {
    const known = found.filter(([, values]) => values.some((value) => value !== null));
    if (!known.length) return;
    const length = Math.max(...known.map(([, values]) => values.filter((value) => value !== null).length));
    const chart = lines(document.getElementById("percentiles"), {
      title, unit: "ms", log: true, xName: "percentile", xText: percentile,
      xTicks: (last) => Array.from({ length: Math.floor(last + 1e-9) + 1 }, (_, index) => index),
      series: known.map(([name], index) => ({ key: `s${index}`, name, colour: (index % 6) + 1 })),
      note: "The axis stretches towards 100 %; a line ends where fewer than ten samples lie beyond." });
    chart.update({
      x: Array.from({ length }, (_, index) => index / POINTS_PER_DECADE),
      series: Object.fromEntries(known.map(([, values], index) => [`s${index}`, values.slice(0, length)])), marks: [] });
  }

  overTime();
  stacked(document.getElementById("split"), { title: "Mean latency by stage", unit: "mean ms", short: "ms", parts: named(PARTS) }).update(data.split);
  plot("End to end, by percentile", data.percentiles.map(({ step, series }) => [step, series.end_to_end || []]));
  for (const { step, series } of data.percentiles.slice(-1)) {
    plot(`Stages of ${step}, by percentile`, PARTS.map(([key, name]) => [name, series[key] || []]));
    plot(`Generator in ${step}, by percentile`, data.series.generator.map(([key, name]) => [name, series[key] || []]));
  }
})();
