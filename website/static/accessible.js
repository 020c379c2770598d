/* What the theme leaves without a name or out of reach of the keyboard. */
(() => {
  const mend = () => {
    document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
    // Where a section has a page of its own, the element that its list is named by is empty.
    for (const list of document.querySelectorAll("nav[aria-labelledby]")) {
      const title = list.querySelector(":scope > .md-nav__title");
      if (title) {
        list.removeAttribute("aria-labelledby");
        list.setAttribute("aria-label", title.textContent.trim());
      }
    }
    // A button to copy is no place to navigate to, of which a page would have dozens.
    for (const bar of document.querySelectorAll(".md-code__nav")) bar.setAttribute("role", "none");
    for (const wide of document.querySelectorAll(".md-typeset__scrollwrap")) wide.tabIndex = 0;
  };
  mend();
  // Tables are wrapped once they are seen.
  new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
})();
