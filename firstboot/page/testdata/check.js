// Looks at a page as accessibility checkers do (WCAG 2.2, level AA, as far as
// a program can tell) and returns what is wrong, a line each.
(function () {
  "use strict";
  var wrong = [];
  var say = function (what, el) {
    var at = el ? " at <" + el.tagName.toLowerCase() + (el.id ? " id=" + el.id : "") + " class=" + (el.getAttribute("class") || "") + "> " + (el.textContent || "").trim().slice(0, 40) : "";
    wrong.push(what + at);
  };
  var all = function (q) { return Array.prototype.slice.call(document.querySelectorAll(q)); };
  var seen = function (el) {
    var r = el.getBoundingClientRect(), s = getComputedStyle(el);
    return r.width > 0 && r.height > 0 && s.visibility !== "hidden" && s.display !== "none";
  };
  var name = function (el) {
    var by = el.getAttribute("aria-labelledby");
    if (by) return by.split(" ").map(function (i) { var x = document.getElementById(i); return x ? x.textContent : ""; }).join(" ").trim();
    return (el.getAttribute("aria-label") || el.textContent || el.getAttribute("title") || "").trim();
  };

  // Nothing is wider than the screen.
  var wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > wide) {
    say("the page is " + document.documentElement.scrollWidth + " wide on a screen of " + wide);
    all("main *").forEach(function (el) { if (el.getBoundingClientRect().right > wide + 1 && seen(el)) say("sticks out to " + el.getBoundingClientRect().right, el); });
  }

  // Structure.
  if (!document.documentElement.lang) say("no language");
  if (!document.title.trim()) say("no title");
  if (all("main").length !== 1) say(all("main").length + " main landmarks");
  if (all("header").length !== 1) say(all("header").length + " headers");
  if (all("h1").length !== 1) say(all("h1").length + " headings of the first level");
  var level = 0;
  all("main h1, main h2, main h3, main h4").forEach(function (h) {
    var n = +h.tagName[1];
    if (n > level + 1) say("a heading of level " + n + " after " + level, h);
    if (!h.textContent.trim()) say("an empty heading", h);
    level = n;
  });
  var ids = {};
  all("[id]").forEach(function (el) { if (ids[el.id]) say("the id twice", el); ids[el.id] = true; });
  all("[aria-labelledby], [aria-describedby]").forEach(function (el) {
    ((el.getAttribute("aria-labelledby") || "") + " " + (el.getAttribute("aria-describedby") || "")).trim().split(/\s+/).forEach(function (i) {
      if (!document.getElementById(i)) say("refers to " + i + ", which is not there", el);
    });
  });
  all("nav").forEach(function (el) { if (!name(el)) say("a nameless navigation", el); });
  all("section").forEach(function (el) { if (!name(el)) say("a nameless section", el); });
  all("svg").forEach(function (el) {
    if (el.closest("[aria-hidden=true]") || el.closest("[role=img]") && name(el.closest("[role=img]"))) return;
    if (!el.getAttribute("role") || !name(el)) say("a drawing without a name", el);
  });

  // Forms.
  all("input:not([type=hidden]), select, textarea").forEach(function (el) {
    var labelled = el.getAttribute("aria-label") || Array.prototype.some.call(el.labels || [], function (l) { return l.textContent.trim(); });
    if (!labelled) say("a field without a label", el);
  });
  all("a[href], button, summary").forEach(function (el) { if (!name(el)) say("a link or button without a name", el); });
  all("[role=status], [aria-live]").forEach(function (el) { if (el.querySelector("a, button, input")) say("a live region with controls in it", el); });

  // Fingers: 24 pixels each way, but links within a text (2.5.8).
  all("button, .button, nav a, input:not([type=hidden]), select, summary").forEach(function (el) {
    var r = el.getBoundingClientRect();
    if (seen(el) && (r.width < 24 || r.height < 20)) say("only " + Math.round(r.width) + " by " + Math.round(r.height), el);
  });

  // Contrast (1.4.3).
  var parse = function (c) {
    var m = /rgba?\(([\d.]+), ([\d.]+), ([\d.]+)(?:, ([\d.]+))?\)/.exec(c);
    return m ? [+m[1], +m[2], +m[3], m[4] === undefined ? 1 : +m[4]] : null;
  };
  var over = function (top, under) { return [0, 1, 2].map(function (i) { return top[i] * top[3] + under[i] * (1 - top[3]); }).concat(1); };
  var ground = function (el) {
    var layers = [];
    for (; el; el = el.parentElement) {
      var c = parse(getComputedStyle(el).backgroundColor);
      if (c && c[3] > 0) { layers.push(c); if (c[3] === 1) break; }
    }
    return layers.reverse().reduce(function (under, top) { return over(top, under); }, [255, 255, 255, 1]);
  };
  var light = function (c) {
    var x = c.slice(0, 3).map(function (v) { v /= 255; return v <= 0.04045 ? v / 12.92 : Math.pow((v + 0.055) / 1.055, 2.4); });
    return 0.2126 * x[0] + 0.7152 * x[1] + 0.0722 * x[2];
  };
  var texts = 0;
  var walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    var el = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !seen(el) || el.closest(".unseen, title, option, datalist, .skip, caption") || el.closest("thead") && getComputedStyle(el.closest("thead")).position === "absolute") continue;
    var s = getComputedStyle(el), svg = el.closest("svg");
    var c = parse(svg ? s.fill : s.color);
    if (!c) { say("a colour that is none: " + s.color, el); continue; }
    var g = ground(svg ? svg.parentElement : el), a = light(over(c, g)), b = light(g);
    var ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), size = parseFloat(s.fontSize);
    var least = size >= 24 || size >= 18.66 && +s.fontWeight >= 700 ? 3 : 4.5;
    if (ratio < least) say("contrast " + ratio.toFixed(2) + ", least " + least, el);
    texts++;
  }
  if (texts < 5) say("only " + texts + " texts were looked at");
  // Fields are told from what is around them (1.4.11).
  all("input:not([type=hidden]):not([type=checkbox]):not([type=radio]), select, textarea").forEach(function (el) {
    var c = parse(getComputedStyle(el).borderTopColor), g = ground(el.parentElement);
    if (!c || el === document.activeElement) return;
    var a = light(over(c, g)), b = light(g);
    var ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 3) say("the border's contrast is " + ratio.toFixed(2), el);
  });
  return wrong;
})();
