"use strict";
// Search, moving with the arrow keys, and a viewer. Without this script every picture is a link.
(() => {
  const pictures = [...document.querySelectorAll("#pictures > li")];
  const search = document.getElementById("search");
  const viewer = document.getElementById("viewer");
  const { page, pages, picturesAPage } = document.body.dataset;
  const MOST_RESULTS = 200;
  const linkOf = (picture) => picture.querySelector(".picture");
  const nameOf = (picture) => picture.querySelector("p").textContent;
  const shown = () => pictures.filter((picture) => !picture.hidden);
  // Without accents and case.
  const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().replaceAll("ß", "ss");

  // The search. The names of other pages are loaded at the first one.
  let names = null;
  let words = [];
  const matches = (name) => { const text = plain(name); return words.every((word) => text.includes(word)); };
  const fileOf = (at) => (at === 0 ? "index.html" : `page-${at + 1}.html`);

  const loadNames = () => {
    if (names !== null || Number(pages) < 2) return;
    names = [];
    window.thumbNames = (list) => { names = list; filter(); };
    const script = document.createElement("script");
    script.src = "names.js";
    document.head.append(script);
  };

  const filter = () => {
    words = plain(search.value).split(/\s+/).filter(Boolean);
    for (const picture of pictures) picture.hidden = !matches(nameOf(picture));
    const elsewhere = document.getElementById("elsewhere");
    const found = document.getElementById("found");
    const list = elsewhere.querySelector("ul");
    list.replaceChildren();
    let others = 0;
    if (words.length > 0) {
      for (const [at, name] of (names ?? []).entries()) {
        const of = Math.floor(at / Number(picturesAPage));
        if (of === Number(page) || !matches(name)) continue;
        others += 1;
        if (others > MOST_RESULTS) continue;
        const link = document.createElement("a");
        link.href = `${fileOf(of)}#n${at + 1}`;
        const text = document.createElement("bdi");
        text.textContent = name;
        link.append(text);
        const item = document.createElement("li");
        item.append(link, ` page ${of + 1}`);
        list.append(item);
      }
    }
    elsewhere.hidden = others === 0;
    const here = shown().length;
    const more = others > MOST_RESULTS ? `, of which the first ${MOST_RESULTS} are listed` : "";
    found.textContent = words.length === 0 ? ""
      : Number(pages) < 2 ? `${here} of ${pictures.length} pictures`
      : `${pictures.length > 0 ? `${here} on this page, ` : ""}${others} on other pages${more}`;
  };

  search.form.hidden = false;
  document.getElementById("keys").hidden = false;
  search.form.addEventListener("submit", (event) => {
    event.preventDefault();
    const [first] = shown();
    if (first) linkOf(first).focus();
  });
  search.addEventListener("input", () => { loadNames(); filter(); });

  // The viewer.
  let current = null;
  const view = (picture) => {
    current = picture;
    const all = shown();
    const image = viewer.querySelector("img");
    image.src = linkOf(picture).href;
    image.alt = nameOf(picture);
    viewer.querySelector("bdi").textContent = nameOf(picture);
    const sizes = picture.querySelector(".sizes ul") ?? picture.querySelector(".sizes");
    const copy = document.createElement(sizes.tagName);
    copy.append(...[...sizes.childNodes].map((node) => node.cloneNode(true)));
    viewer.querySelector(".sizes").replaceChildren(copy);
    document.getElementById("place").textContent = `${all.indexOf(picture) + 1} of ${all.length}`;
    if (!viewer.open) viewer.showModal();
  };
  // A step over the end goes to the next page.
  const step = (by) => {
    const all = shown();
    const next = all[all.indexOf(current) + by];
    if (next) return view(next);
    const link = document.querySelector(by > 0 ? "a[rel=next]" : "a[rel=prev]");
    if (link && search.value === "") location.href = `${link.href}#${by > 0 ? "first" : "last"}`;
  };
  viewer.addEventListener("click", (event) => {
    const by = event.target.dataset?.step;
    if (by === "0" || event.target === viewer) viewer.close();
    else if (by) step(Number(by));
  });
  viewer.addEventListener("close", () => linkOf(current).focus());
  viewer.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by && !event.altKey && !event.ctrlKey && !event.metaKey) { event.preventDefault(); step(by); }
  });

  // The pictures.
  const above = (from, by) => {
    const box = from.getBoundingClientRect();
    const middle = (other) => { const at = other.getBoundingClientRect(); return at.left + at.width / 2; };
    const rows = shown().filter((other) => (other.offsetTop - from.offsetTop) * by > 0);
    const tops = rows.map((other) => other.offsetTop);
    const top = by > 0 ? Math.min(...tops) : Math.max(...tops);
    const away = (other) => Math.abs(middle(other) - (box.left + box.width / 2));
    return rows.filter((other) => other.offsetTop === top).sort((a, b) => away(a) - away(b))[0];
  };
  document.getElementById("pictures")?.addEventListener("click", (event) => {
    const link = event.target.closest(".picture");
    if (!link || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    view(link.parentElement);
  });
  document.getElementById("pictures")?.addEventListener("keydown", (event) => {
    const picture = event.target.closest(".picture")?.parentElement;
    if (!picture || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const all = shown();
    const at = all.indexOf(picture);
    const to = {
      ArrowLeft: () => all[at - 1], ArrowRight: () => all[at + 1], Home: () => all[0], End: () => all.at(-1),
      ArrowUp: () => above(picture, -1), ArrowDown: () => above(picture, 1),
    }[event.key];
    if (!to) return;
    event.preventDefault();
    const next = to();
    if (next) { linkOf(next).focus(); next.scrollIntoView({ block: "nearest" }); }
  });
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || viewer.open) return;
    if (event.key === "/" && event.target !== search) { event.preventDefault(); search.focus(); search.select(); }
    if (event.key === "Escape" && search.value !== "") { search.value = ""; filter(); search.focus(); }
  });

  // Where a link from another page leads to. Not before the page is there: moving to a fragment takes the focus away.
  addEventListener("load", () => {
    const { hash } = location;
    if (hash === "#first" && pictures[0]) view(pictures[0]);
    else if (hash === "#last" && pictures.length > 0) view(pictures.at(-1));
    else if (/^#n\d+$/.test(hash)) document.getElementById(hash.slice(1))?.querySelector(".picture").focus();
  });
})();
