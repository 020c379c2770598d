/* What the theme leaves without a name or out of reach of the keyboard. */
(() => {
  const mend = () => {
    document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
    // A list within a list is part of one landmark: many have the same name, and some have none.
    for (const list of document.querySelectorAll("nav nav")) {
      for (const said of ["labelledby", "label", "expanded"]) list.removeAttribute(`aria-${said}`);
      list.setAttribute("role", "none");
    }
    // A button to copy is no place to navigate to, of which a page would have dozens.
    for (const bar of document.querySelectorAll(".md-code__nav")) bar.setAttribute("role", "none");
    for (const wide of document.querySelectorAll(".md-typeset__scrollwrap")) wide.tabIndex = 0;
  };
  mend();
  // Tables are wrapped once they are seen, and lists are said to be open when they are.
  const changes = { childList: true, subtree: true, attributeFilter: ["aria-expanded"] };
  new MutationObserver(mend).observe(document.body, changes);
})();
