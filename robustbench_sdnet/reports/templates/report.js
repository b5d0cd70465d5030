"use strict";
(() => {
  const cellText = (cell) => {
    if (!cell || cell.classList.contains("missing")) return "";
    const small = cell.querySelector("small");
    return (small ? cell.textContent.slice(0, -small.textContent.length) : cell.textContent).trim();
  };
  const number = (text) => {
    const found = /^(?:< )?\(?([-+]?[\d,]*\.?\d+(?:e[-+]\d+)?)(?:\/(\d+))?/.exec(text);
    return found ? parseFloat(found[1].replaceAll(",", "")) / (found[2] ?? 1) : NaN;
  };
  const ending = (text) => /^(.*\s)(\S+)$/.exec(text) ?? ["", text, ""];
  const whole = (text) => (/^-?\d*\.?\d+(?:e[-+]\d+)?$/.test(text) ? Number(text) : NaN);
  const byText = (a, b) => {
    const [one, two] = [whole(a), whole(b)];
    if (!Number.isNaN(one) && !Number.isNaN(two)) return one - two;
    if (Number.isNaN(one) !== Number.isNaN(two)) return Number.isNaN(one) - Number.isNaN(two);
    const [, start, last] = ending(a);
    const [, other, end] = ending(b);
    const order = start === other ? number(last) - number(end) : NaN;
    return order || a.localeCompare(b, "en", { numeric: true });
  };

  // Dark and light: as the system says until the button is pressed.
  const theme = document.getElementById("theme");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme;
    const dark = now ? now === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    theme.setAttribute("aria-pressed", String(!dark));
  });

  // Sorting: numbers by value (8/255 below 1/2), texts behind them by letters ("l2 0.25" below "l2 0.5"), empty cells last.
  const sort = (table, column, head) => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = table.tBodies[0];
    const keyed = Array.from(body.rows, (row) => {
      const text = cellText(row.cells[column]);
      return { row, text, value: number(text) };
    });
    const numeric = keyed.every(({ text, value }) => text === "" || text === "-" || !Number.isNaN(value));
    keyed.sort((a, b) => {
      const gone = (key) => key.text === "" || (numeric && Number.isNaN(key.value));
      if (gone(a) || gone(b)) return gone(a) - gone(b);
      const order = numeric ? a.value - b.value : byText(a.text, b.text);
      return up ? order : -order;
    });
    body.append(...keyed.map(({ row }) => row));
  };

  // CSV: intervals and marks in columns of their own, and no text that a spreadsheet would compute.
  const quoted = (text) => {
    if (/^([=+@\t\r]|-.)/.test(text) && Number.isNaN(Number(text))) text = "'" + text;
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const csv = (table) => {
    const heads = Array.from(table.tHead.rows[0].cells, (cell) => cell.textContent.trim());
    const rows = Array.from(table.tBodies[0].rows).filter((row) => !row.hidden);
    const holds = (kind) => heads.map((_, column) => rows.some((row) => row.cells[column].querySelector(kind)));
    const [wide, ranged] = [holds("small, .mark"), holds("small")];
    const line = (cells, extra) => cells.flatMap((text, i) => (wide[i] ? [text, extra(i)] : [text])).map(quoted).join(",");
    const lines = [line(heads, (i) => `${heads[i]}, ${ranged[i] ? "95 %" : "mark"}`)];
    for (const row of rows) {
      const marked = (i) => row.cells[i].querySelector(".mark")?.textContent ?? "";
      const below = (i) => `${row.cells[i].querySelector("small")?.textContent ?? ""} ${marked(i)}`.trim();
      lines.push(line(Array.from(row.cells, (cell, i) => cellText(cell).replace(marked(i), "").trim()), below));
    }
    return lines.join("\n") + "\n";
  };
  const download = (name, text) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  const filter = (table, tools) => {
    const selects = Array.from(tools.querySelectorAll("select"));
    const search = tools.querySelector("input");
    const count = tools.querySelector("output");
    const rows = Array.from(table.tBodies[0].rows);
    for (const select of selects) {
      const seen = new Set(rows.map((row) => cellText(row.cells[select.dataset.column])));
      for (const value of seen) if (value) select.add(new Option(value, value));
    }
    const update = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const chosen = selects.every((s) => s.value === "" || cellText(row.cells[s.dataset.column]) === s.value);
        const text = words.length ? row.textContent.toLowerCase() : "";
        row.hidden = !(chosen && words.every((word) => text.includes(word)));
        shown += !row.hidden;
      }
      count.textContent = `${shown} of ${rows.length} rows`;
    };
    for (const control of [...selects, search]) control.addEventListener("input", update);
    update();
  };

  for (const table of document.querySelectorAll("main table")) {
    for (const [column, head] of Array.from(table.tHead.rows[0].cells).entries()) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => sort(table, column, head));
    }
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.csv");
    if (button) download(button.dataset.name, csv(button.closest(".data").querySelector("table")));
  });
  for (const tools of document.querySelectorAll(".tools")) tools.hidden = false;
  for (const tools of document.querySelectorAll(".tools.filters")) {
    filter(tools.closest(".data").querySelector("table"), tools);
  }
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => (d.open = true)));
  const unfold = () => {
    const target = document.getElementById(location.hash.slice(1));
    for (let one = target?.closest("details"); one; one = one.parentElement.closest("details")) one.open = true;
    target?.scrollIntoView();
  };
  addEventListener("hashchange", unfold);
  document.addEventListener("click", (event) => {
    if (location.hash && event.target.closest("a")?.hash === location.hash) unfold(); // the address does not change
  });
  unfold();
})();
