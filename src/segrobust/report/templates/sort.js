"use strict";
// Tables sort by a click or a key on a column's button; empty cells stay at the end, equal ones keep their order.
document.querySelectorAll("table.sortable").forEach(function (table) {
  const body = table.tBodies[0];
  const buttons = Array.from(table.tHead.querySelectorAll("button"));
  const live = document.getElementById("said");
  function value(row, column) {
    const text = row.cells[column].dataset.sort;
    if (text === undefined || text === "") return null;
    return isNaN(text) ? text : Number(text);
  }
  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b));
  }
  buttons.forEach(function (button, column) {
    button.addEventListener("click", function () {
      const header = button.parentElement;
      const down = header.getAttribute("aria-sort") === "ascending";
      const rows = Array.from(body.rows);
      rows.sort(function (one, two) {
        const a = value(one, column), b = value(two, column);
        if (a === null || b === null) return (a === null) - (b === null);
        return down ? compare(b, a) : compare(a, b);
      });
      buttons.forEach(function (other) { other.parentElement.removeAttribute("aria-sort"); });
      header.setAttribute("aria-sort", down ? "descending" : "ascending");
      rows.forEach(function (row) { body.appendChild(row); });
      live.textContent = "sorted by " + button.textContent.trim() + (down ? ", falling" : ", rising");
    });
  });
});
