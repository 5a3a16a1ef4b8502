"use strict";
// One uPlot chart for each of the curves' charts; cursor and zoom move together.
{
  const charts = JSON.parse(document.getElementById("curves-data").textContent);
  const place = document.getElementById("curves");
  const last = Math.max(1, ...charts.flatMap(chart => chart.curves.flatMap(curve => curve.steps)));
  const ink = name => getComputedStyle(document.documentElement).getPropertyValue(name);
  const plots = [];

  // As many decimals as the distance of the marks asks for.
  const marks = (plot, values, axis, space, distance) => {
    const decimals = Math.max(0, -Math.floor(Math.log10(distance)));
    const exact = Number(distance.toFixed(decimals)) === distance ? decimals : decimals + 1;
    return values.map(value => exact > 6 ? value.toExponential(1) : value.toFixed(exact));
  };
  const axis = more => ({
    stroke: () => ink("--quiet"),
    grid: { stroke: () => ink("--line"), width: 1 },
    ticks: { stroke: () => ink("--line"), width: 1 },
    ...more,
  });

  // A ring around each curve's value at the step with the lowest held-out loss.
  const markBest = curves => plot => curves.forEach((curve, i) => {
    const at = curve.steps.indexOf(curve.best);
    const { min, max } = plot.scales.x;
    if (at < 0 || curve.best < min || curve.best > max || !plot.series[i + 1].show) return;
    const ring = new Path2D();
    const [x, y] = [plot.valToPos(curve.best, "x", true), plot.valToPos(curve.values[at], "y", true)];
    ring.arc(x, y, 7 * devicePixelRatio, 0, 2 * Math.PI);
    plot.ctx.save();
    plot.ctx.setLineDash([]);
    plot.ctx.strokeStyle = curve.color;
    plot.ctx.lineWidth = 2 * devicePixelRatio;
    plot.ctx.stroke(ring);
    plot.ctx.restore();
  });

  for (const chart of charts) {
    const box = place.appendChild(document.createElement("div"));
    box.className = "chart";
    box.appendChild(document.createElement("h3")).textContent = chart.title;
    const width = () => box.clientWidth - 20;
    const options = {
      width: width(),
      height: 250,
      cursor: { sync: { key: "steps", scales: ["x", null] } },
      scales: { x: { time: false } },
      hooks: { draw: [markBest(chart.curves)] },
      series: [
        { label: "step", value: (plot, value) => value ?? "–" },
        ...chart.curves.map(curve => ({
          label: curve.mode,
          stroke: curve.color,
          dash: curve.dash,
          width: 2,
          value: (plot, value) => value === undefined || value === null ? "–" : String(value),
        })),
      ],
      axes: [
        axis({ incrs: [0, 1, 2, 3, 4, 5, 6, 7, 8].flatMap(e => [1, 2, 5].map(n => n * 10 ** e)) }),
        axis({
          values: marks,
          size: (plot, values) => 20 + 7.5 * Math.max(3, ...(values ?? []).map(value => value.length)),
        }),
      ],
    };
    // All charts reach from 0 to the last step, wherever their own values are.
    const data = uPlot.join([[[0, last]], ...chart.curves.map(curve => [curve.steps, curve.values])]);
    const plot = new uPlot(options, data, box);
    new ResizeObserver(() => plot.setSize({ width: width(), height: 250 })).observe(box);
    plots.push(plot);
  }
  const help = document.createElement("p");
  help.textContent = "Drag over steps to zoom in on them, double-click to see all; click on a mode to hide or show its curve. " +
    "A ring is around the step with the lowest held-out loss, whose adapter is in best/.";
  place.before(help);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots.forEach(plot => plot.redraw()));
}
