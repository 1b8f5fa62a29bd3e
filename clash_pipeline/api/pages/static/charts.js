// Draws every figure.chart of a page from the JSON beside it, in the page's own colours, light or dark.
const { createChart, createSeriesMarkers, AreaSeries, BaselineSeries, CandlestickSeries, LineSeries } = window.LightweightCharts;
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const drawn = new Map();
const LINES = 8;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const figures = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

const FORMATS = {
  usd: (value) => figures.format(value),
  price: (value) => new Intl.NumberFormat("en", { maximumSignificantDigits: 7 }).format(value),
  percent: (value) => `${figures.format(value)} %`,
  count: (value) => short.format(value),
  ms: (value) => (value < 1000 ? `${Math.round(value)} ms` : value < 120000 ? `${figures.format(value / 1000)} s` : `${figures.format(value / 60000)} min`),
};

function options(drawing) {
  return {
    autoSize: true,
    layout: { background: { color: colour("--panel") }, textColor: colour("--soft"), fontFamily: "system-ui, sans-serif", attributionLogo: false },
    grid: { vertLines: { color: colour("--line") }, horzLines: { color: colour("--line") } },
    rightPriceScale: { borderColor: colour("--line"), mode: drawing.logarithmic ? 1 : 0 },
    timeScale: { borderColor: colour("--line"), timeVisible: true, secondsVisible: false, rightOffset: 2 },
    localization: { priceFormatter: FORMATS[drawing.unit] },
    handleScroll: { mouseWheel: false, vertTouchDrag: false },
    handleScale: { mouseWheel: false },
  };
}

function series(chart, drawing) {
  if (drawing.bars.length) return [bars(chart, drawing)];
  return drawing.lines.map((line, place) => {
    const stroke = colour(`--line-${(place % LINES) + 1}`);
    const shared = { lineWidth: 2, priceLineVisible: false, lastValueVisible: drawing.lines.length === 1 };
    let made;
    if (drawing.baseline !== null) {
      made = chart.addSeries(BaselineSeries, {
        ...shared, baseValue: { type: "price", price: drawing.baseline },
        topLineColor: colour("--gain"), bottomLineColor: colour("--loss"),
        topFillColor1: `${colour("--gain")}44`, topFillColor2: `${colour("--gain")}08`,
        bottomFillColor1: `${colour("--loss")}08`, bottomFillColor2: `${colour("--loss")}44`,
      });
    } else if (drawing.filled) {
      made = chart.addSeries(AreaSeries, { ...shared, lineColor: stroke, topColor: `${stroke}55`, bottomColor: `${stroke}08` });
    } else {
      made = chart.addSeries(LineSeries, { ...shared, color: stroke });
    }
    made.setData(broken(line));
    return made;
  });
}

// A point's colour is that of the way to the next one; where nobody knows what was, there is none.
function broken({ points, gap }) {
  return points.map(([time, value], place) => {
    const next = points[place + 1];
    const isLast = gap !== null && next !== undefined && next[0] - time > gap;
    return isLast ? { time, value, color: "transparent" } : { time, value };
  });
}

function bars(chart, drawing) {
  const up = colour("--gain"), down = colour("--loss");
  const made = chart.addSeries(CandlestickSeries, {
    upColor: up, downColor: down, wickUpColor: up, wickDownColor: down, borderVisible: false, priceLineVisible: false,
  });
  made.setData(drawing.bars.map(([time, open, high, low, close]) => ({ time, open, high, low, close })));
  const known = new Set(drawing.bars.map(([time]) => time));
  createSeriesMarkers(made, drawing.marks.filter(([time]) => known.has(time)).map(([time, side]) => ({
    time, color: colour(side === "buy" ? "--line-1" : "--line-2"),
    position: side === "buy" ? "belowBar" : "aboveBar", shape: side === "buy" ? "arrowUp" : "arrowDown",
  })));
  return made;
}

// The legend follows the pointer; the picture itself is no news to whoever uses the table.
function legend(plot, chart, drawing, made) {
  const list = document.createElement("ul");
  list.className = "legend";
  list.setAttribute("aria-hidden", "true");
  const items = (drawing.bars.length ? [{ name: "" }] : drawing.lines).map((line, place) => {
    const item = document.createElement("li"), swatch = document.createElement("i"), text = document.createElement("span");
    swatch.className = `c${(place % LINES) + 1}`;
    if (drawing.lines.length > 1) item.append(swatch);
    item.append(text);
    list.append(item);
    return [text, drawing.lines.length > 1 ? line.name : ""];
  });
  const trades = new Map();
  for (const [time, , text] of drawing.marks) trades.set(time, [...(trades.get(time) ?? []), text]);
  const show = (event) => items.forEach(([text, name], place) => {
    const value = event?.seriesData?.get(made[place]);
    text.textContent = [name, value ? said(value, drawing, trades.get(value.time)) : ""].filter(Boolean).join(" ");
  });
  chart.subscribeCrosshairMove(show);
  show();
  plot.before(list);
  return list;
}

function said(value, drawing, trades) {
  const format = FORMATS[drawing.unit], when = `${new Date(value.time * 1000).toISOString().slice(0, 16).replace("T", " ")}`;
  if (value.open === undefined) return `${format(value.value)} at ${when}`;
  const prices = `open ${format(value.open)}, high ${format(value.high)}, low ${format(value.low)}, close ${format(value.close)}`;
  return [`${when}: ${prices}`, ...(trades ?? [])].join("; ");
}

function keys(plot, chart) {
  const scale = chart.timeScale();
  const moves = {
    ArrowLeft: (from, to) => [from - (to - from) / 10, to - (to - from) / 10],
    ArrowRight: (from, to) => [from + (to - from) / 10, to + (to - from) / 10],
    "+": (from, to) => [from + (to - from) / 8, to - (to - from) / 8],
    "-": (from, to) => [from - (to - from) / 6, to + (to - from) / 6],
  };
  const listen = (event) => {
    const range = scale.getVisibleLogicalRange();
    const move = moves[event.key === "=" ? "+" : event.key];
    if (!range || !move || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const [from, to] = move(range.from, range.to);
    if (to - from >= 3) scale.setVisibleLogicalRange({ from, to });
  };
  plot.addEventListener("keydown", listen);
  return () => plot.removeEventListener("keydown", listen);
}

function draw(figure) {
  const plot = figure.querySelector(".plot");
  if (!plot) return;
  const drawing = JSON.parse(figure.querySelector("script").textContent);
  const canvas = document.createElement("div");
  canvas.setAttribute("aria-hidden", "true");
  canvas.style.height = "100%";
  plot.replaceChildren(canvas);
  const chart = createChart(canvas, options(drawing));
  const made = series(chart, drawing);
  const list = legend(plot, chart, drawing, made);
  const deaf = keys(plot, chart);
  chart.timeScale().fitContent();
  drawn.set(figure, () => { deaf(); list.remove(); chart.remove(); });
}

function drawAll() {
  for (const [, forget] of drawn) forget();
  drawn.clear();
  document.querySelectorAll("figure.chart").forEach(draw);
  document.documentElement.dataset.drawn = String(drawn.size);
}

dark.addEventListener("change", drawAll);
document.addEventListener("charts:new", drawAll);
drawAll();
