// Shared by every script of the page and of report.html: elements, numbers as text, tables.
//
// Text is set only through textContent, so no shown text can become markup.
(function (global) {
  "use strict";

  const SVG = "http://www.w3.org/2000/svg";

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

  // At most three digits, for axes.
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

  // The table behind a chart; its rows are made when it is opened, so that a closed table costs nothing.
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

  global.cdcElement = { element, drawn, number, short, size, clock, table, tableBehind };
})(window);
