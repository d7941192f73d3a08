// Draws each figure from the CSV file that it links to, so the picture and the file cannot differ. Live pages load again what has
// changed when the server says so.
"use strict";

(() => {
  const COLOURS = 10;
  const MOST_KEYS = 12;
  const HEIGHT = 300;
  const drawn = new Map();

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Cells in quotes may hold commas, quotes and ends of lines.
  function rowsOf(text) {
    const rows = [[""]];
    let quoted = false;
    for (let place = 0; place < text.length; place += 1) {
      const row = rows[rows.length - 1];
      const letter = text[place];
      if (quoted) {
        if (letter !== '"') row[row.length - 1] += letter;
        else if (text[place + 1] === '"') { row[row.length - 1] += '"'; place += 1; } else quoted = false;
      } else if (letter === '"') quoted = true;
      else if (letter === ",") row.push("");
      else if (letter === "\n") rows.push([""]);
      else row[row.length - 1] += letter;
    }
    return rows.filter((row) => row.length > 1 || row[0] !== "");
  }

  const written = (value) => {
    if (value === null || value === undefined) return "";
    const size = Math.abs(value);
    return size !== 0 && (size < 1e-3 || size >= 1e7) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
  };
  const short = (value) => {
    const size = Math.abs(value);
    if (size >= 1e9) return `${Number((value / 1e9).toPrecision(4))}G`;
    if (size >= 1e6) return `${Number((value / 1e6).toPrecision(4))}M`;
    if (size >= 1e4) return `${Number((value / 1e3).toPrecision(4))}k`;
    return written(value);
  };

  const axis = (label, more) => ({
    label,
    stroke: colour("--muted"),
    grid: { stroke: colour("--grid"), width: 1 },
    ticks: { stroke: colour("--grid"), width: 1 },
    font: "12px system-ui, sans-serif",
    labelFont: "12px system-ui, sans-serif",
    labelSize: 22,
    values: (plot, ticks) => ticks.map((tick) => (tick === null ? "" : short(tick))),
    ...more,
  });

  // A column of the file is a curve. In a chart of bands, three columns are a curve with its lower and upper end.
  function curvesOf(figure, header) {
    const groups = figure.dataset.groups ? figure.dataset.groups.split("|") : [];
    const stride = figure.dataset.kind === "band" ? 3 : 1;
    const count = (header.length - 1) / stride;
    const byGroup = stride === 1 && groups.length === count && count > COLOURS;
    const kinds = [...new Set(groups)];
    return Array.from({ length: count }, (_, place) => ({
      name: stride === 1 ? header[1 + place] : header[1 + 3 * place].replace(/: [^:]*$/, ""),
      column: 1 + stride * place,
      colour: (byGroup ? kinds.indexOf(groups[place]) : place) % COLOURS,
      group: byGroup ? groups[place] : null,
      banded: stride === 3 && groups[place] === "True",
    }));
  }

  // In a chart of moments, a slider of the page chooses the curve that stands out.
  const chosenOf = (figure) => (figure.dataset.slider ? Number(document.getElementById(figure.dataset.slider).value) : null);

  function optionsOf(figure, curves, columns) {
    const points = figure.dataset.kind === "points";
    const many = curves.length > MOST_KEYS;
    const chosen = chosenOf(figure);
    const series = [{}];
    const bands = [];
    const data = [columns[0]];
    const add = (curve, column, more) => {
      const thin = many || (figure.dataset.kind === "seeds" && curve.column > 1);
      series.push({ label: curve.name, spanGaps: true, stroke: colour(`--series-${curve.colour}`), width: thin ? 1 : 2.5, ...more });
      data.push(columns[column]);
      return series.length - 1;
    };
    for (const curve of curves) {
      if (curve.banded) {
        const fill = `${colour(`--series-${curve.colour}`)}30`;
        const upper = add(curve, curve.column + 2, { width: 0, points: { show: false } });
        const lower = add(curve, curve.column + 1, { width: 0, points: { show: false } });
        bands.push({ series: [upper, lower], fill });
      }
      if (chosen !== null) {
        const marked = curve.column - 1 === chosen;
        const stroke = marked ? colour("--series-0") : `${colour("--muted")}55`;
        curve.series = add(curve, curve.column, { stroke, width: marked ? 3.5 : 1.2, points: { show: false } });
        continue;
      }
      const dash = figure.dataset.kind === "band" && !curve.banded ? [6, 4] : undefined;
      const own = points ? { width: 0, points: { show: true, size: 5, fill: colour(`--series-${curve.colour}`) } } : { points: { show: columns[0].length < 40, size: 5 } };
      curve.series = add(curve, curve.column, { dash, ...own });
    }
    const options = {
      width: Math.max(200, figure.querySelector(".plot").clientWidth),
      height: HEIGHT,
      legend: { show: false },
      cursor: { drag: { x: true, y: false } },
      scales: { x: { time: false } },
      series,
      bands,
      axes: [axis(figure.dataset.x, { size: 40 }), axis(figure.dataset.y, { size: 58 })],
      hooks: { setCursor: [(plot) => showValues(figure, curves, plot)] },
    };
    return [options, data];
  }

  function keys(figure, curves) {
    const list = figure.querySelector(".keys");
    list.replaceChildren();
    if (figure.dataset.slider) return;
    const shown = curves.some((curve) => curve.group !== null)
      ? [...new Map(curves.map((curve) => [curve.group, { name: curve.group, colour: curve.colour }])).values()]
      : curves;
    if (shown.length > MOST_KEYS || (shown.length < 2 && curves.length < 2)) return;
    for (const one of shown) {
      const item = document.createElement("li");
      item.className = `key-${one.colour}`;
      item.append(one.name);
      if (one.series !== undefined) { one.value = document.createElement("output"); item.append(one.value); }
      list.append(item);
    }
  }

  function showValues(figure, curves, plot) {
    for (const curve of curves) {
      if (curve.value) curve.value.textContent = plot.cursor.idx === null ? "" : written(plot.data[curve.series][plot.cursor.idx]);
    }
  }

  function plot(figure, header, columns) {
    const curves = curvesOf(figure, header);
    if (drawn.has(figure)) drawn.get(figure).destroy();
    keys(figure, curves);
    const [options, data] = optionsOf(figure, curves, columns);
    drawn.set(figure, new uPlot(options, data, figure.querySelector(".plot")));
  }

  // Without this script, the form of the slider loads the page again with the chosen moment.
  function slide(figure, header, columns) {
    const slider = document.getElementById(figure.dataset.slider);
    const mark = (all) => all.forEach((one, place) => one.classList.toggle("chosen", place === Number(slider.value)));
    slider.oninput = () => {
      document.getElementById(`${slider.id}-said`).textContent = header[1 + Number(slider.value)];
      mark(document.querySelectorAll("svg.panel"));
      mark(document.querySelectorAll("table.moments tbody tr"));
      plot(figure, header, columns);
    };
  }

  async function draw(figure) {
    try {
      const answer = await fetch(figure.dataset.csv, { headers: { Accept: "text/csv" } });
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      const [header, ...rows] = rowsOf(await answer.text());
      const columns = header.map((_, place) => rows.map((row) => (row[place] === "" ? null : Number(row[place]))));
      figure.classList.add("drawn");
      plot(figure, header, columns);
      if (figure.dataset.slider) slide(figure, header, columns);
      figure.dataset.points = String(rows.length);
    } catch (error) {
      figure.classList.remove("drawn");
      figure.classList.add("failed");
      figure.querySelector(".pending").textContent = `The chart cannot be drawn: ${error.message}. The file below holds its numbers.`;
    }
  }

  const figures = () => [...document.querySelectorAll("figure.chart[data-csv]")];
  const redrawAll = () => Promise.all(figures().map(draw));

  function follow() {
    const state = document.querySelector("[data-events]");
    if (!state) return;
    const source = new EventSource(state.dataset.events);
    source.addEventListener("changed", async () => {
      await htmx.ajax("GET", state.dataset.page, { target: "#state", swap: "outerHTML" });
      await Promise.all(figures().filter((figure) => figure.dataset.live).map(draw));
      document.documentElement.dataset.updates = String(Number(document.documentElement.dataset.updates || 0) + 1);
    });
  }

  addEventListener("DOMContentLoaded", () => {
    redrawAll();
    follow();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);
    let waiting;
    addEventListener("resize", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => drawn.forEach((plot, figure) => plot.setSize({ width: Math.max(200, figure.querySelector(".plot").clientWidth), height: HEIGHT })), 100);
    });
  });
})();
