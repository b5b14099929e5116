// The charts of the CDC tab and of report.html, on uPlot: lines over a shared axis, and a heat map of latencies.
//
// Colours come from chart.css as variables (a colour-blind-safe set, one for each theme), and every line also has a
// dash of its own. All charts over time share one crosshair and one zoom. Behind every chart is a table.
(function (global) {
  "use strict";

  const { element, drawn, number, short, size, clock, tableBehind } = global.cdcElement;
  const DASHES = [[], [7, 3], [2, 3], [9, 3, 2, 3], [12, 4], [4, 2, 1, 2]];
  const HEIGHT = 220;
  const MOST_ROWS = 2000;
  const FONT = "11px Roboto, Helvetica, Arial, sans-serif";
  const WORD_PX = 6;
  const COLOURS = 6;
  const TIME = "cdc-time";
  const known = (value) => value !== null && value !== undefined;
  const hue = (series) => ((series.colour - 1) % COLOURS) + 1;
  // Every drawn chart, for a change of theme; the charts over time move together.
  const all = new Set();
  let window_s = null;

  function colour(host, name) {
    return getComputedStyle(host).getPropertyValue(`--cdc-${name}`).trim() || "#777";
  }

  function zoom(range) {
    window_s = range;
    all.forEach((one) => one.overTime && one.fit());
  }

  function redraw() {
    all.forEach((one) => one.rebuild());
  }

  // One chart with its title and legend, as a picture file.
  function save(figure, canvas, title, names) {
    const scale = canvas.width / canvas.clientWidth || 1;
    const picture = document.createElement("canvas");
    picture.width = canvas.width;
    picture.height = canvas.height + 44 * scale;
    const pen = picture.getContext("2d");
    pen.scale(scale, scale);
    pen.fillStyle = colour(figure, "paper");
    pen.fillRect(0, 0, picture.width, picture.height);
    pen.fillStyle = colour(figure, "ink");
    pen.font = `500 14px ${FONT.slice(5)}`;
    pen.fillText(title, 10, 18);
    pen.font = FONT;
    let x = 10;
    for (const { name, shade } of names) {
      pen.fillStyle = shade;
      pen.fillRect(x, 28, 16, 4);
      pen.fillStyle = colour(figure, "soft");
      pen.fillText(name, x + 21, 34);
      x += 33 + name.length * WORD_PX;
    }
    pen.drawImage(canvas, 0, 44, canvas.clientWidth, canvas.clientHeight);
    const link = element("a", { download: `${title.toLowerCase().replace(/[^a-z0-9]+/g, "-")}.png`, href: picture.toDataURL("image/png") });
    link.click();
  }

  // Stages and steps as dashed lines with their names: in one row if they fit, else upright along their line.
  function drawMarks(plot, marks, host) {
    const pen = plot.ctx;
    const scale = global.uPlot.pxRatio;
    const { left, top, width, height } = plot.bbox;
    const at = marks.map((mark) => plot.valToPos(mark.x, "x", true));
    const seen = marks.map((mark, index) => ({ mark, x: at[index] })).filter(({ x }) => x >= left - 1 && x <= left + width + 1);
    const fits = seen.every(({ mark, x }, index) => x + (mark.name.length * WORD_PX + 8) * scale <= (index + 1 < seen.length ? seen[index + 1].x : left + width + 14 * scale));
    pen.save();
    pen.strokeStyle = pen.fillStyle = colour(host, "soft");
    pen.font = FONT.replace("11px", `${11 * scale}px`);
    pen.lineWidth = scale;
    // The alignment that the axes have set is still in effect.
    pen.textAlign = "left";
    pen.textBaseline = "alphabetic";
    // The time of a fault (a stage of run/driver/faults.py) is shaded, up to the next mark.
    pen.globalAlpha = 0.12;
    marks.forEach((mark, index) => {
      if (!/(^| )fault$/.test(mark.name)) return;
      const from = Math.max(left, at[index]);
      const to = Math.min(left + width, index + 1 < at.length ? at[index + 1] : left + width);
      if (to > from) pen.fillRect(from, top, to - from, height);
    });
    pen.globalAlpha = 1;
    let free = -Infinity;
    for (const { mark, x } of seen) {
      pen.setLineDash([2 * scale, 3 * scale]);
      pen.beginPath();
      pen.moveTo(x, top - (fits ? 6 * scale : 0));
      pen.lineTo(x, top + height);
      pen.stroke();
      if (fits) pen.fillText(mark.name, x + 4 * scale, top - 8 * scale);
      else if (x >= free) {
        pen.save();
        pen.translate(x + 11 * scale, top + 4 * scale + pen.measureText(mark.name).width);
        pen.rotate(-Math.PI / 2);
        pen.fillText(mark.name, 0, 0);
        pen.restore();
        free = x + 12 * scale;
      }
    }
    pen.restore();
  }

  // The parts of every chart: heading, switch of scale, picture, legend, table, crosshair, zoom.
  //
  // spec: {title, unit, note, log, switchable, format, x: {name, text, splits, least}, overTime}. `make` returns uPlot's
  // options for a width and a scale; `names` are the legend's rows.
  function frame(host, spec, make, rows, names) {
    const plotPlace = element("div", { class: "cdc-plot", role: "img" });
    const tip = element("div", { class: "cdc-tip", hidden: true, "aria-hidden": "true" });
    const place = element("div", { class: "cdc-frame" }, plotPlace, tip);
    const nothing = element("p", { class: "cdc-what cdc-nothing" }, "No figures yet.");
    const tools = element("span", { class: "cdc-tools" });
    const heading = element("div", { class: "cdc-chart-head" }, element("h3", {}, spec.title, element("span", { class: "cdc-unit" }, spec.unit)), tools);
    const legend = element("ul", { class: "cdc-legend" });
    const figure = element("figure", { class: "cdc-chart", "data-chart": spec.title }, heading, legend, place, nothing);
    const refreshTable = tableBehind(figure, `${spec.title} (${spec.unit})`, rows);
    if (spec.note) figure.append(element("p", { class: "cdc-what" }, spec.note));
    host.append(figure);
    const chart = { figure, legend, plotPlace, tip, overTime: spec.overTime, plot: null, log: Boolean(spec.log), data: null, marks: [] };

    if (spec.switchable) {
      const button = element("button", { type: "button", "aria-pressed": String(chart.log), title: "logarithmic scale" }, "log");
      button.addEventListener("click", () => {
        chart.log = !chart.log;
        button.setAttribute("aria-pressed", String(chart.log));
        chart.rebuild();
      });
      tools.append(button);
    }
    const picture = element("button", { type: "button", title: `save ${spec.title} as a picture`, "aria-label": `Save ${spec.title} as a picture` }, "PNG");
    picture.addEventListener("click", () => chart.plot && save(figure, chart.plot.ctx.canvas, spec.title, names()));
    tools.append(picture);

    chart.rebuild = () => {
      if (chart.plot) chart.plot.destroy();
      chart.plot = null;
      chart.show();
    };
    chart.fit = () => {
      const x = chart.data ? chart.data[0] : [];
      if (!chart.plot || !x.length) return;
      const full = { min: spec.overTime ? 0 : x[0], max: Math.max(x[x.length - 1], (spec.overTime ? 0 : x[0]) + (spec.least || 1)) };
      const range = spec.overTime && window_s ? window_s : chart.own || full;
      chart.plot.setScale("x", range);
      plotPlace.dataset.shown = `${range.min.toFixed(3)} ${range.max.toFixed(3)}`;
    };
    chart.show = () => {
      const empty = !chart.data || !chart.data[0].length;
      place.classList.toggle("cdc-away", empty);
      nothing.classList.toggle("cdc-away", !empty);
      if (empty) return;
      const width = Math.max(240, place.clientWidth || 560);
      if (chart.plot) chart.plot.setData(chart.data, false);
      else chart.plot = new global.uPlot({ ...base(width), ...make(chart, width) }, chart.data, plotPlace);
      chart.fit();
      plotPlace.dataset.points = String(chart.data[0].length);
      refreshTable();
    };

    function base(width) {
      return { width, height: HEIGHT, legend: { show: false }, padding: [22, 14, 0, 0], focus: { alpha: 1 } };
    }

    chart.cursor = {
      points: { size: 5 },
      drag: { x: true, y: false, setScale: false },
      sync: spec.overTime ? { key: TIME, setSeries: false, filters: { pub: (kind) => kind === "mousemove" || kind === "mouseleave" } } : undefined,
      bind: {
        dblclick: () => () => {
          chart.own = null;
          if (spec.overTime) zoom(null);
          else chart.fit();
          return null;
        },
      },
    };
    chart.select = (plot) => {
      const { left, width } = plot.select;
      if (width < 5) return;
      const range = { min: plot.posToVal(left, "x"), max: plot.posToVal(left + width, "x") };
      plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      if (spec.overTime) zoom(range);
      else {
        chart.own = range;
        chart.fit();
      }
    };
    if (global.ResizeObserver) {
      new ResizeObserver(() => {
        const width = place.clientWidth;
        if (chart.plot && width && width !== chart.plot.width) chart.plot.setSize({ width, height: HEIGHT });
      }).observe(place);
    }
    all.add(chart);
    return chart;
  }

  function axes(chart, spec) {
    const soft = () => colour(chart.figure, "soft");
    const grid = { stroke: () => colour(chart.figure, "rule"), width: 1 };
    const xText = spec.xText || clock;
    return [
      { stroke: soft, font: FONT, grid: { show: false }, ticks: { ...grid, size: 4 }, space: 60, size: 26, splits: spec.xSplits ? (plot) => spec.xSplits(plot.scales.x.min, plot.scales.x.max) : undefined, values: (_, splits) => splits.map((value) => (value < 0 ? "" : xText(value))), incrs: spec.xSplits || spec.xNumbers ? undefined : [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400] },
      { stroke: soft, font: FONT, grid, ticks: { show: false }, size: 54, space: 36, values: (_, splits) => splits.map((value) => (known(value) ? (spec.axisText || short)(value) : "")),
        filter: chart.log ? decimals : undefined },
    ];
  }

  // A logarithmic axis has labels at 1, 2 and 5 of a few decades, or only at the decades if there are many.
  function decimals(plot, splits, axis) {
    const { min, max } = plot.scales[plot.axes[axis].scale];
    const named = Math.log10(max / min) > 3 ? [1] : [1, 2, 5];
    return splits.map((value) => (named.includes(+(value / 10 ** Math.floor(Math.log10(value) + 1e-9)).toFixed(6)) ? value : null));
  }

  function yRange(log) {
    if (!log) return (_, low, high) => (known(high) ? [Math.min(0, low), high > 0 ? high * 1.05 : 1] : [0, 1]);
    return (_, low, high) => (known(high) ? [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high * 1.0001))] : [1, 10]);
  }

  function tipAt(chart, plot, text) {
    const index = plot.cursor.idx;
    const shown = known(index) && plot.cursor.left >= 0;
    chart.tip.hidden = !shown;
    if (!shown) return null;
    chart.tip.replaceChildren(element("span", {}, text(index)));
    chart.tip.style.left = `${Math.min(plot.cursor.left + 60, Math.max(0, plot.width - chart.tip.offsetWidth - 4))}px`;
    return index;
  }

  // Lines over a shared axis. spec as in `frame`, and series: [{key, name, colour, points}]; a series of `points` is
  // drawn as marks without a line. Data of `update`: {x: [...], series: {key: [...]}, marks: [{x, name}]}; null is a gap.
  function lines(host, given) {
    const spec = { overTime: !given.xText && !given.xNumbers, ...given };
    const write = spec.format || number;
    const xText = spec.xText || (spec.xNumbers ? number : clock);
    const hidden = new Set();
    let data = { x: [], series: {}, marks: [] };
    const shade = (series) => colour(chart.figure, hue(series));
    const values = spec.series.map(() => element("span", { class: "cdc-last" }));

    function make(chart) {
      return {
        cursor: chart.cursor,
        scales: { x: { time: false, range: (_, low, high) => [low, high] }, y: { distr: chart.log ? 3 : 1, range: yRange(chart.log) } },
        axes: axes(chart, { ...spec, xText }),
        series: [{}, ...spec.series.map((series, index) => ({
          label: series.name, stroke: () => shade(series), width: series.points ? 0 : 2, dash: DASHES[index % DASHES.length], show: !hidden.has(series.key),
          points: { show: series.points ? true : alone, size: series.points ? 8 : 4, fill: () => shade(series) },
        }))],
        hooks: {
          draw: [(plot) => drawMarks(plot, chart.marks, chart.figure)],
          setSelect: [chart.select],
          setCursor: [(plot) => tell(tipAt(chart, plot, (index) => xText(data.x[index])))],
        },
      };
    }

    // A point between two gaps would not show as a line.
    function alone(plot, series, first, last) {
      const column = plot.data[series];
      const lonely = [];
      for (let index = first; index <= last; index++) {
        if (known(column[index]) && !known(column[index - 1]) && !known(column[index + 1])) lonely.push(index);
      }
      return lonely.length ? lonely : false;
    }

    const chart = frame(host, spec, make, () => {
      const skipped = Math.max(0, data.x.length - MOST_ROWS);
      return [
        [spec.xName || "time", ...spec.series.map((series) => series.name)],
        data.x.slice(skipped).map((x, row) => [xText(x), ...spec.series.map((series) => write((data.series[series.key] || [])[row + skipped]))]),
      ];
    }, () => spec.series.map((series) => ({ name: series.name, shade: shade(series) })));

    spec.series.forEach((series, index) => {
      const swatch = drawn("svg", { class: "cdc-swatch", viewBox: "0 0 26 8", "aria-hidden": "true" },
        drawn("path", { d: "M1 4H25", class: `cdc-line cdc-c${hue(series)}`, "stroke-dasharray": DASHES[index % DASHES.length].join(" ") }));
      const button = element("button", { type: "button", "aria-pressed": "true" }, swatch, element("span", {}, series.name), values[index]);
      button.addEventListener("click", () => {
        if (!hidden.delete(series.key)) hidden.add(series.key);
        button.setAttribute("aria-pressed", String(!hidden.has(series.key)));
        if (chart.plot) chart.plot.setSeries(index + 1, { show: !hidden.has(series.key) });
      });
      chart.legend.append(element("li", {}, button));
    });

    // The legend shows the values at the crosshair, or the last known ones.
    function tell(index) {
      spec.series.forEach((series, at) => {
        const column = data.series[series.key] || [];
        const value = known(index) ? column[index] : column.findLast(known);
        values[at].textContent = write(value);
      });
    }

    function described() {
      const parts = spec.series.map((series) => {
        const found = (data.series[series.key] || []).filter(known);
        if (!found.length) return `${series.name} not known`;
        return `${series.name} last ${write(found[found.length - 1])}, highest ${write(found.reduce((one, other) => Math.max(one, other)))}`;
      });
      return `${spec.title}, ${spec.unit}: ${data.x.length} points. ${parts.join("; ")}.`;
    }

    // A logarithmic scale has no place for zero.
    const drawable = (value) => (!known(value) || (chart.log && value <= 0) ? null : value);
    const redrawn = chart.rebuild;
    const arrange = () => {
      const found = spec.series.some((series) => (data.series[series.key] || []).some(known));
      chart.data = found ? [data.x, ...spec.series.map((series) => data.x.map((_, row) => drawable((data.series[series.key] || [])[row])))] : null;
      chart.marks = data.marks || [];
    };
    chart.rebuild = () => {
      arrange();
      redrawn();
    };
    return {
      figure: chart.figure,
      update(next) {
        data = next;
        arrange();
        chart.show();
        chart.plotPlace.setAttribute("aria-label", described());
        if (chart.tip.hidden) tell(null);
      },
    };
  }

  // Events by second and latency; a darker cell has more events. Data of `update`: {width_s, edges_ms: [...], columns: [{x, first,
  // counts: [...]}], marks}; a column's counts begin at the bucket `first`.
  function heat(host, given) {
    const spec = { overTime: true, ...given };
    let data = { width_s: 1, edges_ms: [], columns: [], marks: [] };
    const range = () => {
      const low = data.columns.reduce((least, column) => Math.min(least, column.first), Infinity);
      const high = data.columns.reduce((most, column) => Math.max(most, column.first + column.counts.length), 0);
      return [low, high];
    };

    function cells(plot) {
      const pen = plot.ctx;
      const most = Math.log1p(data.columns.reduce((high, column) => Math.max(high, ...column.counts), 1));
      pen.save();
      pen.beginPath();
      pen.rect(plot.bbox.left, plot.bbox.top, plot.bbox.width, plot.bbox.height);
      pen.clip();
      pen.fillStyle = colour(chart.figure, "1");
      for (const column of data.columns) {
        const left = plot.valToPos(column.x, "x", true);
        const right = plot.valToPos(column.x + data.width_s, "x", true);
        column.counts.forEach((count, index) => {
          if (!count) return;
          const bottom = plot.valToPos(data.edges_ms[column.first + index], "y", true);
          const top = plot.valToPos(data.edges_ms[column.first + index + 1], "y", true);
          pen.globalAlpha = 0.15 + (0.85 * Math.log1p(count)) / most;
          pen.fillRect(left, top, Math.max(1, right - left), Math.max(1, bottom - top));
        });
      }
      pen.restore();
    }

    function make(chart) {
      const [low, high] = range();
      return {
        cursor: { ...chart.cursor, points: { show: false } },
        scales: { x: { time: false, range: (_, from, to) => [from, to] }, y: { distr: 3, range: () => yRange(true)(null, data.edges_ms[low], data.edges_ms[high]) } },
        axes: axes({ ...chart, log: true }, spec),
        series: [{}, { label: "ms", show: true, paths: () => null, points: { show: false } }],
        hooks: {
          drawSeries: [cells], draw: [(plot) => drawMarks(plot, chart.marks, chart.figure)], setSelect: [chart.select],
          setCursor: [(plot) => tipAt(chart, plot, (index) => `${clock(data.columns[index].x)}: ${number(events(index))} events, ${spread(index)}`)],
        },
      };
    }
    const events = (index) => data.columns[index].counts.reduce((sum, count) => sum + count, 0);
    const spread = (index) => {
      const { first, counts } = data.columns[index];
      return `${number(data.edges_ms[first])} to ${number(data.edges_ms[first + counts.length])} ms`;
    };
    const chart = frame(host, spec, make, () => [
      ["from", "events", "latency"],
      data.columns.map((column, index) => [clock(column.x), number(events(index)), spread(index)]),
    ], () => []);
    let bounds = "";
    return {
      figure: chart.figure,
      update(next) {
        data = next;
        chart.marks = data.marks || [];
        const x = data.columns.map((column) => column.x);
        chart.data = x.length ? [x, data.columns.map((column) => data.edges_ms[column.first] || null)] : null;
        if (String(range()) !== bounds) {
          bounds = String(range());
          chart.rebuild();
        } else chart.show();
        chart.plotPlace.setAttribute("aria-label", `${spec.title}: ${x.length} columns of ${number(data.width_s)} s.`);
      },
    };
  }

  // All declared charts over time (cdc_users/report/chart.py), in one place of the page. `update` takes the timeline's
  // columns; a chart shows only if one of its columns is known.
  function overTime(host, specs) {
    const charts = specs.map((spec) => ({
      spec,
      chart: lines(host, { ...spec, format: spec.format === "size" ? size : number, axisText: spec.format === "size" ? (bytes) => short(bytes / 1e6) : short }),
    }));
    return {
      update(columns, marks) {
        for (const { spec, chart } of charts) {
          const series = Object.fromEntries(spec.series.map(({ key }) => [key, columns[key] || []]));
          const seen = Object.values(series).some((values) => values.some(known));
          chart.figure.classList.toggle("cdc-away", !seen);
          if (seen) chart.update({ x: columns.elapsed_s || [], series, marks });
        }
      },
    };
  }

  // The charts of a result's own figures (cdc_users/report/chart.py, FigureChart).
  function figures(host, specs) {
    host.replaceChildren();
    specs.forEach((spec) => lines(host, { ...spec, xNumbers: true, xName: spec.x_name, unit: `${spec.unit} by ${spec.x_name}` })
      .update({ x: spec.x, series: spec.values, marks: [] }));
  }

  global.cdcChart = { lines, heat, overTime, figures, redraw, unzoom: () => zoom(null) };
})(window);
