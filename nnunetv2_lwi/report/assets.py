"""Style and script of the page."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --page: #ffffff; --box: #f4f6f8; --line: #d0d7de;
  --accent: #0b63c5; --warn: #fff3cd; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #a4adb8; --page: #14171b; --box: #1d2127;
  --line: #3a414a; --accent: #78b4ff; --warn: #453a12; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
header, main, footer { max-width: 72rem; margin: 0 auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin-top: 2.5rem; padding-bottom: .2rem; border-bottom: 1px solid var(--line); }
p, li, figcaption { max-width: 48rem; overflow-wrap: anywhere; }
a { color: var(--accent); }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; list-style: none; padding: 0; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.scroll { max-width: 100%; overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; white-space: nowrap; }
th, td { border: 1px solid var(--line); padding: .25rem .6rem; text-align: left; vertical-align: top; }
td { max-width: 44rem; overflow-wrap: break-word; }
.scores td { white-space: nowrap; }
thead th, tbody th { background: var(--box); font-weight: 600; }
details { margin: 1rem 0; }
summary { cursor: pointer; font-weight: 600; }
.state { display: inline-block; padding: .1rem .6rem; border: 1px solid var(--line); border-radius: 1rem;
  background: var(--box); }
.notice { background: var(--warn); padding: .6rem 1rem; border-radius: .4rem; }
figure { margin: 1.2rem 0; }
figcaption { color: var(--soft); font-size: .9rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr)); gap: 0 2rem;
  align-items: start; }
figure svg { width: 100%; height: auto; max-width: 36rem; }
figure > img, .frames img { max-width: 100%; height: auto; }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1rem; list-style: none; padding: 0; margin: 0; font-size: .9rem; }
.legend svg { width: 1.8rem; height: .8rem; vertical-align: middle; }
pre { overflow-x: auto; background: var(--box); padding: .6rem; font-size: .85rem; }
.volumes { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .8rem; max-width: 60rem; }
.window { overflow: hidden; position: relative; border: 1px solid var(--line); background: #000; }
.window img { position: absolute; left: 0; top: 0; image-rendering: pixelated; transform-origin: 0 0; max-width: none; }
.volumes p { margin: 0; font-size: .9rem; }
.slider { display: flex; flex-wrap: wrap; gap: .3rem 1rem; align-items: center; margin: .6rem 0; }
.slider input { flex: 1 1 14rem; max-width: 36rem; accent-color: var(--accent); }
.slider output { flex: 1 1 20rem; }
footer { color: var(--soft); font-size: .85rem; padding: 2rem 1rem; }
"""

SCRIPT = """
document.querySelectorAll("[data-captions]").forEach(function (box) {
  var captions = JSON.parse(box.dataset.captions), slider = box.querySelector("input"), words = box.querySelector("output");
  var columns = Number(box.dataset.columns), rows = Number(box.dataset.rows);
  function show() {
    var i = Number(slider.value);
    words.textContent = captions[i];
    slider.setAttribute("aria-valuetext", captions[i]);
    box.querySelectorAll("[data-sprite]").forEach(function (img) {
      var x = 100 * (i % columns) / columns, y = 100 * Math.floor(i / columns) / rows;
      img.style.transform = "translate(-" + x + "%, -" + y + "%)";
    });
    box.querySelectorAll("[data-frame]").forEach(function (img, number) { img.hidden = number !== i; });
  }
  slider.addEventListener("input", show);
  show();
});
"""
"""A slider of a box shows a part of its sprites, or one of its frames, and says which."""
