// The explorers: from controls to Plotly.react. Data and drawn figure come with the page (book/_ext/explorers.py).
"use strict";

(() => {
  const DASHES = ["solid", "dash", "dashdot", "dot"];
  const theme = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--pst-color-${name}`).trim();
  const three = (value) => Number(value.toPrecision(3)).toString();
  const checked = (form, name) => [...form.querySelectorAll(`[name="${name}"] input:checked`)].map((e) => e.value);
  const seedsOf = (count, diverged) =>
    `${count} ${count === 1 ? "seed" : "seeds"}${diverged ? `, of which ${diverged} diverged` : ""}`;

  // Checkboxes for what a dataset has; what was chosen before stays chosen, and else the first `initial`.
  function fill(form, name, values, initial) {
    const set = form.querySelector(`fieldset[name="${name}"]`);
    const before = checked(form, name).filter((value) => values.includes(value));
    const chosen = before.length ? before : values.slice(0, initial);
    set.querySelectorAll("label").forEach((label) => label.remove());
    for (const value of values) {
      const label = document.createElement("label");
      const box = Object.assign(document.createElement("input"), { type: "checkbox", value });
      box.checked = chosen.includes(value);
      label.append(box, ` ${value}`);
      set.append(label);
    }
  }

  const axis = (title, more = {}) => ({
    title: { text: title },
    gridcolor: theme("border"),
    zeroline: false,
    automargin: true,
    ...more,
  });

  const KINDS = {
    frontier: {
      start(form) {
        form.elements.least.selectedIndex = 0;
        form.elements.most.value = "8";
      },
      refill(form, data) {
        fill(form, "models", data[form.elements.dataset.value].lines.map((line) => line.model), 3);
      },
      show(form, data, look) {
        const part = data[form.elements.dataset.value];
        const ends = [Number(form.elements.least.value), Number(form.elements.most.value)].sort((a, b) => a - b);
        const inside = (one) => one.epsilon >= ends[0] && one.epsilon <= ends[1];
        const traces = [];
        const said = [];
        part.lines.forEach((line) => {
          const points = line.points.filter(inside);
          if (!checked(form, "models").includes(line.model) || !points.length) return;
          const { color: colour, symbol, dash } = look.models[form.elements.dataset.value][line.model];
          const all = points.flatMap((one) => one.seeds.map((value) => [one.epsilon, value]));
          const far = (p, i) => i > 0 && p.epsilon / points[i - 1].epsilon > look.gap;
          const joined = points.flatMap((p, i) => (far(p, i) ? [{ epsilon: p.epsilon, mean: null }, p] : [p]));
          const hover = "ε %{x}: %{y:.2f} %<extra></extra>";
          traces.push(
            { x: all.map((p) => p[0]), y: all.map((p) => p[1]), mode: "markers", showlegend: false, opacity: 0.5,
              marker: { color: colour, size: 6 }, hovertemplate: `one seed, ${hover}` },
            { x: joined.map((p) => p.epsilon), y: joined.map((p) => p.mean), mode: "lines+markers", name: line.model,
              line: { color: colour, dash }, hovertemplate: `mean, ${hover}`,
              marker: { color: colour, size: 9, symbol } },
          );
          const end = points[points.length - 1];
          said.push(`${line.model}, ε ${end.epsilon}: ${end.mean.toFixed(2)} % ` +
            `(${seedsOf(end.seeds.length, end.diverged)})`);
        });
        const anchors = part.anchors.filter(inside);
        traces.push({ x: anchors.map((p) => p.epsilon), y: anchors.map((p) => p.accuracy), mode: "markers",
          name: "the field", text: anchors.map((p) => p.who), marker: { symbol: "square-open", size: 9, color: theme("text-base") },
          hovertemplate: "%{text}, ε %{x}: %{y:.2f} %<extra></extra>" });
        const stated = Object.entries(part.papers);
        const line = { color: theme("text-base"), width: 1, dash: "dot" };
        const layout = {
          xaxis: axis("ε (logarithmic)", { type: "log" }),
          yaxis: axis("test accuracy (%)"),
          shapes: stated.map(([, y]) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line })),
          annotations: stated.map(([name, y]) => ({ xref: "paper", x: 1, xanchor: "right", y, yanchor: "bottom",
            text: `${name}: ${y}`, showarrow: false })),
        };
        const answer = said.length ? `${part.name}, ${said.join("; ")}.` : `${part.name}: no runs for these settings.`;
        return { traces, layout, answer };
      },
    },

    thresholds: {
      start() {},
      refill(form, data) {
        const { readings } = data[form.elements.dataset.value];
        const list = form.elements.reading;
        [...list.options].forEach((option) => { option.disabled = !(option.value in readings); });
        if (!(list.value in readings)) list.value = Object.keys(readings)[0];
        const cells = readings[list.value];
        const values = (name) => [...new Set(cells.map((cell) => cell[name]))].sort((a, b) => a - b).map(String);
        fill(form, "thresholds", values("threshold"), 3);
        const budgets = values("budget");
        fill(form, "budgets", budgets, 1);
      },
      show(form, data, look) {
        const part = data[form.elements.dataset.value];
        const reading = form.elements.reading.value;
        const [thresholds, budgets] = [checked(form, "thresholds"), checked(form, "budgets")];
        const all = part.readings[reading];
        const levels = (name) => [...new Set(all.map((cell) => cell[name]))].sort((a, b) => a - b);
        const found = all.filter((cell) =>
          thresholds.includes(String(cell.threshold)) && budgets.includes(String(cell.budget)));
        const traces = found.flatMap((cell) => {
          const color = look.thresholds[String(cell.threshold)];
          const name = `threshold ${cell.threshold}, budget ${cell.budget}`;
          const line = { color, dash: DASHES[levels("budget").indexOf(cell.budget) % 4] };
          const common = { x: cell.iterations, mode: "lines", name, line, legendgroup: name };
          return [
            { ...common, y: cell.accuracy, hovertemplate: "step %{x}: %{y:.2f} %<extra></extra>" },
            { ...common, y: cell.step, yaxis: "y2", showlegend: false,
              hovertemplate: "step %{x}: step size %{y}<extra></extra>" },
          ];
        });
        const layout = {
          xaxis: axis("step", { anchor: "y2" }),
          yaxis: axis("test accuracy (%)", { domain: [0.48, 1], rangemode: "tozero" }),
          yaxis2: axis("step size", { domain: [0, 0.4], type: "log" }),
        };
        const said = found.map((cell) => `threshold ${cell.threshold}, budget ${cell.budget}` +
          `${cell.epsilon === null ? "" : ` (ε ${cell.epsilon})`}: ${cell.final.toFixed(2)} %, ` +
          `${cell.capped} % of steps at the cap (${seedsOf(cell.seeds, cell.diverged)})`);
        const rest = said.length > 4 ? `; ${said.length - 4} more in the figure` : "";
        const answer = said.length
          ? `${part.name}, ${reading}: ${said.slice(0, 4).join("; ")}${rest}.`
          : `${part.name}, ${reading}: no runs for these settings; choose a threshold and a budget.`;
        return { traces, layout, answer };
      },
    },

    budget: {
      start() {},
      refill() {},
      show(form, grid, { colours }) {
        const wrong = [...form.elements].find((one) => one.validity && !one.validity.valid);
        if (wrong) {
          const label = wrong.labels[0].textContent.trim();
          return { traces: [], layout: {}, answer: `${label}: ${wrong.validationMessage}` };
        }
        const value = (name) => Number(form.elements[name].value);
        const [initial, growth, steps, sensitivity] = ["initial", "growth", "steps", "sensitivity"].map(value);
        const share = value("batch") / value("records");
        if (share > 1) {
          return { traces: [], layout: {}, answer: "The batch is larger than the number of records; lower it." };
        }
        const increment = steps === 1 ? 0 : ((growth - 1) * initial) / (steps - 1);
        const drawn = Math.min(steps, 301);
        const at = [...Array(drawn).keys()].map((i) => 1 + Math.round((i * (steps - 1)) / Math.max(drawn - 1, 1)));
        const spent = at.map((t) => initial + (t - 1) * increment);
        const nominal = steps * initial + (steps * (steps - 1) * increment) / 2;
        const least = 1 / Math.max(spent[0], spent[spent.length - 1]);
        const price = atMost(grid, least, share, steps);
        const percent = (one) => `${three(100 * one)} %`;
        const costs = price
          ? `numerical ε at most ${price[0]}; the best attack finds at most ${percent(price[1])} of members at 1 % ` +
            `false alarms and ${percent(price[2])} at 0.1 %, advantage at most ${percent(price[3])}`
          : "not priced here: use plan";
        const noise = spent.map((one) => sensitivity / one);
        const traces = [
          { x: at, y: spent, mode: "lines", name: "budget ε<sub>t</sub>", line: { color: colours[0] },
            hovertemplate: "step %{x}: ε_t %{y:.4g}<extra></extra>" },
          { x: at, y: noise, yaxis: "y2", mode: "lines", name: "noise scale",
            line: { color: colours[1], dash: "dash" }, hovertemplate: "step %{x}: noise %{y:.4g}<extra></extra>" },
        ];
        const layout = {
          xaxis: axis("step t", { anchor: "y2" }),
          yaxis: axis("budget ε<sub>t</sub>", { domain: [0.55, 1], rangemode: "tozero" }),
          yaxis2: axis("noise scale", { domain: [0, 0.45], rangemode: "tozero" }),
        };
        const answer = `Noise scale ${three(noise[0])} to ${three(noise[noise.length - 1])}; ` +
          `Eq. (5)'s nominal total ${three(nominal)}; ${costs}.`;
        return { traces, layout, answer };
      },
    },
  };

  // As `explore_grid.at_most`: at most the noise, at least the share and the steps; nothing where no point bounds them.
  function atMost(grid, noise, share, steps) {
    const quieter = grid.noise.filter((one) => one <= noise).length - 1;
    const larger = grid.shares.findIndex((one) => one >= share);
    const longer = grid.steps.findIndex((one) => one >= steps);
    if (quieter < 0 || larger < 0 || longer < 0) return null;
    return grid.prices[(quieter * grid.shares.length + larger) * grid.steps.length + longer];
  }

  function begin(root) {
    const kind = KINDS[root.dataset.explorer];
    const read = (name) => JSON.parse(root.querySelector(`.explorer-${name}`).textContent);
    const [data, look] = [read("data"), read("look")];
    const form = root.querySelector("form");
    const [plot, said, drawn] = ["plot", "answer", "drawn"].map((name) => root.querySelector(`.explorer-${name}`));
    form.reset();
    kind.start(form);
    const update = () => {
      const { traces, layout, answer } = kind.show(form, data, look);
      if (said.textContent !== answer) said.textContent = answer;
      const whole = {
        paper_bgcolor: "rgba(0,0,0,0)",
        plot_bgcolor: "rgba(0,0,0,0)",
        font: { color: theme("text-base"), family: "inherit" },
        margin: { l: 10, r: 10, t: 20, b: 10 },
        legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom" },
        height: 520,
        ...layout,
      };
      Plotly.react(plot, traces, whole, { responsive: true, displayModeBar: false });
    };
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", (event) => {
      if (["dataset", "reading"].includes(event.target.name)) kind.refill(form, data);
      update();
    });
    kind.refill(form, data);
    for (const part of [form, said, plot]) part.hidden = false;
    update();
    // Only now, so that the drawn figure stays where something fails.
    drawn.hidden = true;
    root.querySelector(".explorer-table").open = false;
    new MutationObserver(update).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  }

  const all = () => document.querySelectorAll(".explorer").forEach(begin);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", all);
  else all();
})();
