"use strict";
// Keeps the marked parts of the page current. Without it, reload.
(function () {
  var root = document.documentElement;
  if (!root.hasAttribute("data-live") || !window.EventSource) return;
  var source = new EventSource("/events?at=" + encodeURIComponent(location.pathname + location.search));
  source.addEventListener("part", function (e) {
    var cut = e.data.indexOf("\n");
    var place = document.getElementById(e.data.slice(0, cut < 0 ? e.data.length : cut));
    if (!place) return;
    var html = cut < 0 ? "" : e.data.slice(cut + 1);
    // Who stands on a link with the keyboard goes on standing there.
    var on = place.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    var next = document.createElement("template");
    next.innerHTML = html;
    if (next.innerHTML === place.innerHTML) return;
    place.replaceChildren(next.content);
    if (on === null) return;
    place.querySelectorAll("[href]").forEach(function (x) {
      if (x.getAttribute("href") === on) x.focus({ preventScroll: true });
    });
  });
  source.addEventListener("over", function () { source.close(); location.reload(); });
  source.onopen = function () { root.setAttribute("data-live", "on"); };
  source.onerror = function () { root.setAttribute("data-live", "off"); };
  window.addEventListener("pagehide", function () { source.close(); });
})();
