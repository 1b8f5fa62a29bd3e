// Keeps the parts of a page that are marked data-live up to date, while somebody wants it and looks.
const EVERY_MS = 30_000;
const button = document.getElementById("live");
let timer = 0;

async function renew() {
  if (document.hidden) return;
  const answer = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "error" }).catch(() => null);
  if (!answer?.ok) {
    stop("Could not be renewed; reload the page");
    return;
  }
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of document.querySelectorAll("[data-live]")) {
    const found = fresh.getElementById(old.id);
    if (!found || old.contains(document.activeElement)) continue; // never under somebody's hands
    keepOpen(old, found);
    old.replaceWith(document.adoptNode(found));
  }
  document.dispatchEvent(new Event("charts:new"));
}

function keepOpen(old, found) {
  const known = [...old.querySelectorAll("details")].map((item) => item.open);
  [...found.querySelectorAll("details")].forEach((item, place) => { item.open = known[place] ?? false; });
}

function start() {
  timer = window.setInterval(renew, EVERY_MS);
  button.setAttribute("aria-pressed", "true");
  renew();
}

function stop(text) {
  window.clearInterval(timer);
  timer = 0;
  button.setAttribute("aria-pressed", "false");
  if (text) button.textContent = text;
}

button.hidden = false;
button.addEventListener("click", () => (timer ? stop() : start()));
