// Loaded before the first paint, so that a dark reader never sees a white flash. Also says that script runs.
const wanted = new URLSearchParams(location.search).get("theme") || localStorage.getItem("theme");
document.documentElement.dataset.theme = wanted || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
document.documentElement.dataset.js = "";
