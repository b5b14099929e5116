// The charts of the CDC tab and of report.html: lines over time, stacked bars, the pipeline. No dependency.
//
// Everything is drawn as SVG or plain elements, text always through textContent, so nothing that is shown can become
// markup. Colours come from chart.css as variables (a colour-blind-safe set, one for each theme), and every line
// also has a dash of its own. Behind every chart is a table with the same numbers.
(function (global) {
  "use strict";

  const SVG = "http://www.w3.org/2000/svg";
  const DASHES = ["", "7 3", "2 3", "9 3 2 3", "12 4", "4 2 1 2"];
  const MARGIN = { top: 22, right: 14, bottom: 26, left: 54 };
  const HEIGHT = 220;
  // More points than pixels only cost time: beyond this a bucket keeps its lowest and its highest.
  const MOST_POINTS = 1200;
  const MOST_ROWS = 2000;

  function element(name, attributes, ...children) {
    return fill(document.createElement(name), attributes, children);
  }

  function drawn(name, attributes, ...children) {
    return fill(document.createElementNS(SVG, name), attributes, children);
  }

  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
    }
    for (const child of children) {
      if (child !== null && child !== undefined) node.append(child);
    }
    return node;
  }

  function number(value, digits) {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    const places = digits !== undefined ? digits : size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : 2;
    return value.toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places });
  }

  function short(value) {
    const size = Math.abs(value);
    for (const [unit, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
      if (size >= unit) return `${+(value / unit).toPrecision(3)}${letter}`;
    }
    return String(+value.toPrecision(3));
  }

  function size(bytes) {
    return bytes === null || bytes === undefined ? "–" : `${number(bytes / 1e6)} MB`;
  }

  function clock(seconds) {
    const whole = Math.round(seconds);
    const rest = String(whole % 60).padStart(2, "0");
    return whole < 3600
      ? `${Math.floor(whole / 60)}:${rest}`
      : `${Math.floor(whole / 3600)}:${String(Math.floor(whole / 60) % 60).padStart(2, "0")}:${rest}`;
  }

  // Round numbers that cover a range, at most about `wanted` of them.
  function ticks(low, high, wanted) {
    const rough = (high - low || 1) / wanted;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
    const found = [];
    for (let index = Math.ceil(low / step); index * step <= high + step * 1e-6; index++) found.push(+(index * step).toPrecision(12));
    return found;
  }

  function timeTicks(high, wanted) {
    const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600];
    const step = steps.find((candidate) => high / candidate <= wanted) || 86400;
    return Array.from({ length: Math.floor(high / step) + 1 }, (_, index) => index * step);
  }

  // [index, ...] of the points that are drawn: all, or each bucket's lowest and highest.
  function thinned(values) {
    const all = [...values.keys()];
    if (values.length <= MOST_POINTS) return all;
    const size = Math.ceil((2 * values.length) / MOST_POINTS);
    const kept = [];
    for (let start = 0; start < values.length; start += size) {
      const bucket = all.slice(start, start + size).filter((index) => values[index] !== null);
      if (bucket.length === 0) continue;
      const low = bucket.reduce((best, index) => (values[index] < values[best] ? index : best));
      const high = bucket.reduce((best, index) => (values[index] > values[best] ? index : best));
      kept.push(...[...new Set([low, high])].sort((one, other) => one - other));
    }
    return kept;
  }

  function path(values, x, y) {
    let text = "";
    let open = false;
    for (const index of thinned(values)) {
      const value = values[index];
      if (value === null || value === undefined) {
        open = false;
        continue;
      }
      text += `${open ? "L" : "M"}${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
      // A point without neighbours would not show as a line.
      if (!open && (values[index + 1] === null || index + 1 === values.length)) text += "h0.01";
      open = true;
    }
    return text;
  }

  function table(caption, head, rows) {
    const body = rows.map((cells) =>
      element("tr", {}, ...cells.map((cell, index) => (index === 0 ? element("th", { scope: "row" }, cell) : element("td", {}, cell))))
    );
    return element(
      "table", {},
      element("caption", {}, caption),
      element("thead", {}, element("tr", {}, ...head.map((cell) => element("th", { scope: "col" }, cell)))),
      element("tbody", {}, ...body)
    );
  }

  // The table behind a chart; its rows are made when it is opened, so that a closed one costs nothing.
  function tableBehind(figure, title, rows) {
    const place = element("div", { class: "cdc-scroll", tabindex: "0", role: "region", "aria-label": `Table: ${title}` });
    const details = element("details", { class: "cdc-behind" }, element("summary", {}, "Table"), place);
    const refresh = () => {
      if (details.open) place.replaceChildren(table(title, ...rows()));
    };
    details.addEventListener("toggle", refresh);
    figure.append(details);
    return refresh;
  }

  // Lines over a shared axis. spec: {title, unit, series: [{key, name, colour}], log, format, note, xName, xText, xTicks, xLow, xLeast}.
  // Data of `update`: {x: [...], series: {key: [...]}, marks: [{x, name}]}; null is a gap.
  function lines(host, spec) {
    const svg = drawn("svg", { role: "img", class: "cdc-plot", preserveAspectRatio: "none" });
    const tip = element("div", { class: "cdc-tip", hidden: true, "aria-hidden": "true" });
    const legend = element("ul", { class: "cdc-legend" });
    const plot = element("div", { class: "cdc-frame" }, svg, tip);
    const heading = element("h3", {}, spec.title, element("span", { class: "cdc-unit" }, spec.unit));
    const figure = element("figure", { class: "cdc-chart", "data-chart": spec.title }, heading, legend, plot);
    const hidden = new Set();
    const write = spec.format || number;
    const xText = spec.xText || clock;
    let data = { x: [], series: {}, marks: [] };
    let scale = null;

    const values = spec.series.map((series, index) => {
      const value = element("span", { class: "cdc-last" });
      const swatch = drawn("svg", { class: "cdc-swatch", viewBox: "0 0 26 8", "aria-hidden": "true" },
        drawn("path", { d: "M1 4H25", class: `cdc-line cdc-c${series.colour}`, "stroke-dasharray": DASHES[index % DASHES.length] }));
      const button = element("button", { type: "button", "aria-pressed": "true" }, swatch, element("span", {}, series.name), value);
      button.addEventListener("click", () => {
        if (!hidden.delete(series.key)) hidden.add(series.key);
        button.setAttribute("aria-pressed", String(!hidden.has(series.key)));
        draw();
      });
      legend.append(element("li", {}, button));
      return value;
    });
    const refreshTable = tableBehind(figure, `${spec.title} (${spec.unit})`, () => [
      [spec.xName || "time", ...spec.series.map((series) => series.name)],
      data.x.slice(-MOST_ROWS).map((x, index) => {
        const at = index + Math.max(0, data.x.length - MOST_ROWS);
        return [xText(x), ...spec.series.map((series) => write((data.series[series.key] || [])[at]))];
      }),
    ]);
    if (spec.note) figure.append(element("p", { class: "cdc-what" }, spec.note));
    host.append(figure);

    function shown() {
      return spec.series.map((series, index) => ({ ...series, dash: DASHES[index % DASHES.length], values: data.series[series.key] || [] }))
        .filter((series) => !hidden.has(series.key));
    }

    function range(all) {
      const known = all.flatMap((series) => series.values).filter((value) => value !== null && value !== undefined);
      if (!spec.log) return [Math.min(0, ...minmax(known)), Math.max(1e-9, ...minmax(known)) || 1];
      const positive = known.filter((value) => value > 0);
      const [low, high] = positive.length ? minmax(positive) : [1, 10];
      return [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high * 1.0001))];
    }

    function draw() {
      const width = Math.max(240, plot.clientWidth || 560);
      const all = shown();
      const [low, high] = range(all);
      const yTicks = spec.log ? decades(low, high) : ticks(low, high, 4);
      const top = spec.log ? high : Math.max(high, yTicks[yTicks.length - 1]);
      const first = spec.xLow !== undefined ? spec.xLow : 0;
      const last = Math.max(spec.xLeast || 1, data.x.length ? data.x[data.x.length - 1] : 0);
      const inner = { width: width - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom };
      const xAt = (value) => MARGIN.left + ((value - first) / (last - first || 1)) * inner.width;
      const part = spec.log ? (value) => Math.log(Math.max(value, low) / low) / Math.log(top / low) : (value) => (value - low) / (top - low || 1);
      const yAt = (value) => MARGIN.top + inner.height * (1 - part(value));
      scale = { xAt, yAt, width, all };
      svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
      svg.setAttribute("height", HEIGHT);
      svg.setAttribute("aria-label", described(all));
      svg.dataset.points = String(data.x.length);
      svg.replaceChildren(
        ...yTicks.map((value) => drawn("g", {},
          drawn("path", { class: "cdc-grid", d: `M${MARGIN.left} ${yAt(value)}H${width - MARGIN.right}` }),
          drawn("text", { x: MARGIN.left - 8, y: yAt(value) + 4, "text-anchor": "end" }, short(value)))),
        ...(spec.xTicks ? spec.xTicks(last) : timeTicks(last, Math.max(3, inner.width / 90))).map((value) =>
          drawn("text", { x: xAt(value), y: HEIGHT - 8, "text-anchor": "middle" }, xText(value))),
        ...markers(xAt, inner),
        ...all.map((series) => drawn("path", {
          class: `cdc-line cdc-c${series.colour}`, "stroke-dasharray": series.dash, "data-series": series.key,
          d: path(series.values, (index) => xAt(data.x[index]), yAt) }))
      );
      spec.series.forEach((series, index) => {
        const known = (data.series[series.key] || []).filter((value) => value !== null && value !== undefined);
        values[index].textContent = known.length ? write(known[known.length - 1]) : "–";
      });
    }

    // The names of marks that stand too close are left out; the line and its tooltip stay.
    function markers(xAt, inner) {
      let free = 0;
      return (data.marks || []).map((mark) => {
        const x = xAt(mark.x);
        const label = x >= free && x + mark.name.length * 6 < MARGIN.left + inner.width + MARGIN.right;
        if (label) free = x + mark.name.length * 6 + 12;
        return drawn("g", { class: "cdc-mark" },
          drawn("title", {}, `${mark.name} at ${xText(mark.x)}`),
          drawn("path", { d: `M${x.toFixed(1)} ${MARGIN.top - 6}V${MARGIN.top + inner.height}` }),
          label ? drawn("text", { x: x + 4, y: MARGIN.top - 9 }, mark.name) : null);
      });
    }

    function described(all) {
      const parts = all.map((series) => {
        const known = series.values.filter((value) => value !== null && value !== undefined);
        if (!known.length) return `${series.name} not known`;
        return `${series.name} last ${write(known[known.length - 1])}, highest ${write(minmax(known)[1])}`;
      });
      return `${spec.title}, ${spec.unit}: ${data.x.length} points. ${parts.join("; ")}.`;
    }

    plot.addEventListener("pointermove", (event) => {
      if (!scale || !data.x.length) return;
      const box = svg.getBoundingClientRect();
      const at = ((event.clientX - box.left) / box.width) * scale.width;
      const index = data.x.reduce((best, value, candidate) => (Math.abs(scale.xAt(value) - at) < Math.abs(scale.xAt(data.x[best]) - at) ? candidate : best), 0);
      tip.replaceChildren(
        element("strong", {}, xText(data.x[index])),
        ...scale.all.map((series) => element("span", {}, `${series.name} ${write(series.values[index])}`))
      );
      tip.hidden = false;
      const x = (scale.xAt(data.x[index]) / scale.width) * box.width;
      tip.style.left = `${Math.min(x + 10, box.width - tip.offsetWidth - 4)}px`;
      let hair = svg.querySelector(".cdc-hair");
      if (!hair) svg.append((hair = drawn("path", { class: "cdc-hair" })));
      hair.setAttribute("d", `M${scale.xAt(data.x[index])} ${MARGIN.top}V${HEIGHT - MARGIN.bottom}`);
    });
    plot.addEventListener("pointerleave", () => {
      tip.hidden = true;
      svg.querySelector(".cdc-hair")?.remove();
    });
    if (global.ResizeObserver) new ResizeObserver(() => plot.clientWidth && plot.clientWidth !== scale?.width && draw()).observe(plot);

    return {
      update(next) {
        data = next;
        draw();
        refreshTable();
      },
    };
  }

  function minmax(values) {
    let low = Infinity;
    let high = -Infinity;
    for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return values.length ? [low, high] : [0, 0];
  }

  function decades(low, high) {
    const found = [];
    for (let value = low; value <= high * 1.0001; value *= 10) found.push(value);
    return found;
  }

  // Horizontal bars of parts that sum. spec: {title, unit, parts: [{key, name, colour}], short}; `update` takes [{name, values: {key: n}}].
  function stacked(host, spec) {
    const bars = element("div", { class: "cdc-bars" });
    const legend = element("ul", { class: "cdc-legend" }, ...spec.parts.map((part) =>
      element("li", {}, element("span", { class: `cdc-chip cdc-b${part.colour}`, "aria-hidden": "true" }), part.name)));
    const heading = element("h3", {}, spec.title, element("span", { class: "cdc-unit" }, spec.unit));
    const figure = element("figure", { class: "cdc-chart", "data-chart": spec.title }, heading, legend, bars);
    let data = [];
    const refreshTable = tableBehind(figure, `${spec.title} (${spec.unit})`, () => [
      ["step", ...spec.parts.map((part) => part.name), "sum"],
      data.map((bar) => [bar.name, ...spec.parts.map((part) => number(bar.values[part.key])), number(total(bar))]),
    ]);
    host.append(figure);

    // Clocks that disagree by less than a millisecond can make a stage negative; it has no width, but stays in the sum.
    const total = (bar) => spec.parts.reduce((sum, part) => sum + (bar.values[part.key] || 0), 0);
    const width = (bar) => spec.parts.reduce((sum, part) => sum + Math.max(0, bar.values[part.key] || 0), 0);

    function update(next) {
      data = next;
      const widest = Math.max(1e-9, ...data.map(width));
      bars.replaceChildren(...data.map((bar) => {
        const parts = spec.parts.filter((part) => (bar.values[part.key] || 0) > 0);
        const text = parts.map((part) => `${part.name} ${number(bar.values[part.key])}`).join(", ");
        return element("div", { class: "cdc-bar" },
          element("span", { class: "cdc-bar-name" }, bar.name),
          element("div", { class: "cdc-bar-track", role: "img", "aria-label": `${bar.name}: ${text || "nothing yet"} ${spec.unit}` },
            ...parts.map((part) => {
              const share = (100 * bar.values[part.key]) / widest;
              const piece = element("span", { class: `cdc-piece cdc-b${part.colour}`, title: `${part.name}: ${number(bar.values[part.key])} ${spec.unit}` },
                share > 9 ? number(bar.values[part.key]) : null);
              piece.style.width = `${share}%`;
              return piece;
            })),
          element("span", { class: "cdc-bar-sum" }, `${number(total(bar))} ${spec.short || spec.unit}`));
      }));
      refreshTable();
    }
    return { update };
  }

  // The pipeline as its stages, the slowest marked. Stages: {key, name, what, rate, latency, backlog, share, bottleneck}.
  function pipeline(host) {
    const words = element("p", { class: "cdc-words", role: "status" });
    const list = element("ol", { class: "cdc-pipeline", "aria-label": "The pipeline, stage by stage" });
    host.append(words, list);
    let said = "";

    function figure(name, value) {
      return element("div", { class: "cdc-figure" }, element("dt", {}, name), element("dd", {}, value));
    }

    function card(stage) {
      const meter = element("div", { class: "cdc-meter", "aria-hidden": "true" }, element("span", {}));
      meter.firstChild.style.width = `${Math.max(0, Math.min(1, stage.share || 0)) * 100}%`;
      return element("li", { class: stage.bottleneck ? "cdc-stage cdc-narrow" : "cdc-stage", "data-stage": stage.key },
        element("div", { class: "cdc-stage-head" }, element("h3", {}, stage.name),
          stage.bottleneck ? element("span", { class: "cdc-badge" }, "bottleneck") : null),
        element("p", { class: "cdc-what" }, stage.what),
        meter,
        element("dl", {},
          figure("rate", stage.rate === null ? "–" : `${number(stage.rate)} /s`),
          figure("mean", stage.mean_ms === null ? "–" : `${number(stage.mean_ms)} ms`),
          figure("p50", stage.p50_ms === null ? "–" : `${number(stage.p50_ms)} ms`),
          figure("p99", stage.p99_ms === null ? "–" : `${number(stage.p99_ms)} ms`),
          figure("backlog", stage.backlog)));
    }

    return {
      update(stages, sentence) {
        // A status region that is written every second would never let a screen reader finish.
        if (sentence !== said) words.textContent = said = sentence;
        list.replaceChildren(...stages.map(card));
      },
    };
  }

  global.cdcChart = { lines, stacked, pipeline, table, element, number, size, clock };
})(window);
