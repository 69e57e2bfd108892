// The tools of the page of claims: filters, order and tolerance. Without this file its table is whole and plain.
// Which tolerance a claim takes (data-least) is worked out in cnndp/report/claims_list.py.
document.addEventListener("DOMContentLoaded", () => {
  const root = document.getElementById("claims");
  if (!root || !window.DataTable) return;
  const form = root.querySelector("form");
  const fields = form.elements;
  const count = document.getElementById("claims-count");
  const own = count.textContent;
  const rows = [...root.querySelectorAll("tbody tr")];
  const ours = rows.filter((row) => row.dataset.own === root.dataset.reproduced).length;
  const filters = ["paper", "section", "dataset", "now"];
  let tolerance = null; // null is the book's own rule
  let printing = false;

  const table = new window.DataTable(root.querySelector("table"), {
    paging: false, info: false, autoWidth: false, order: [],
    layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null },
    columnDefs: [{ orderable: false, targets: [-1, -2] }],
  });
  table.search.fixed("tools", (text, data, place) => {
    const row = table.row(place).node();
    return printing || filters.every((name) => !fields[name].value || row.dataset[name] === fields[name].value);
  });

  const say = () => {
    const reproduced = rows.filter((row) => row.dataset.now === root.dataset.reproduced).length;
    const shown = table.rows({ search: "applied" }).count();
    const counted = tolerance === null ? own
      : `${reproduced} of ${rows.length} claims are reproduced at a tolerance of ${tolerance.toFixed(1)} points; ` +
        `by the book’s own rule, ${ours}.`;
    count.textContent = shown === rows.length ? counted : `${counted} Shown: ${shown} of ${rows.length}.`;
  };
  const draw = () => { table.search(printing ? "" : fields.text.value).draw(); say(); };

  const verdictOf = ({ own: before, least }) => {
    if (tolerance === null || least === "") return before;
    return Number(least) <= tolerance ? root.dataset.reproduced : root.dataset.missed;
  };
  const recount = (value) => {
    tolerance = value;
    for (const row of rows) {
      const verdict = verdictOf(row.dataset);
      const cell = row.querySelector(".verdict").closest("td");
      const chip = cell.querySelector(".verdict");
      row.dataset.now = verdict;
      chip.textContent = verdict;
      chip.className = `verdict verdict-${verdict.replaceAll(" ", "-")}`;
      cell.dataset.order = [...fields.now.options].findIndex((option) => option.value === verdict);
      const changed = verdict !== row.dataset.own;
      cell.querySelector(".own").textContent = changed ? `by the book’s own rule: ${row.dataset.own}` : "";
    }
    form.querySelector("output").textContent = value === null ? "the book’s own rule" : `${value.toFixed(1)} points`;
    fields.tolerance.setAttribute("aria-valuetext", form.querySelector("output").textContent);
    table.rows().invalidate("dom");
    draw();
  };
  const order = () => {
    const [column, direction] = fields.sort.value.split(" ");
    table.order(column ? [[Number(column), direction]] : []).draw();
  };
  table.on("order", () => { // a heading was used
    const [[column, direction] = []] = table.order();
    fields.sort.value = direction ? `${column} ${direction}` : "";
  });
  const showAll = () => {
    for (const name of [...filters, "text", "sort"]) fields[name].value = "";
    order();
    draw();
  };
  // An address may name a claim, or a section: #p1.fig09.mnist.polyak, #fig09_comparison.
  const follow = () => {
    const name = decodeURIComponent(location.hash.slice(1));
    const row = rows.find((one) => one.id === name);
    if (rows.some((one) => one.dataset.section === name)) {
      showAll();
      fields.section.value = name;
      draw();
      form.scrollIntoView();
    } else if (row) {
      if (!row.isConnected) showAll();
      rows.forEach((one) => one.classList.toggle("named", one === row));
      row.scrollIntoView({ block: "center" });
    }
  };

  form.addEventListener("submit", (event) => event.preventDefault());
  fields.text.addEventListener("input", draw);
  filters.forEach((name) => fields[name].addEventListener("change", draw));
  fields.sort.addEventListener("change", order);
  fields.all.addEventListener("click", showAll);
  fields.tolerance.addEventListener("input", () => recount(Number(fields.tolerance.value)));
  fields.own.addEventListener("click", () => {
    fields.tolerance.value = fields.tolerance.defaultValue;
    recount(null);
  });
  window.addEventListener("hashchange", follow);
  window.addEventListener("beforeprint", () => { printing = true; draw(); });
  window.addEventListener("afterprint", () => { printing = false; draw(); });
  form.hidden = false;
  recount(null);
  follow();
});
