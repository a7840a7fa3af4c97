// A curve that moves.

/**
 * Draw values on a canvas while `value()` gives numbers; it ends at null. `show` gets the value four times a second.
 */
export function drawCurve(canvas, value, show) {
  const pen = canvas.getContext("2d");
  const history = new Float32Array(canvas.width / 2);
  let least = 0, most = 1, shown = 0;
  const step = (time) => {
    const now = value();
    if (now === null) return;
    history.copyWithin(0, 1);
    history[history.length - 1] = now;
    least = Math.min(least, now);
    most = Math.max(most, now);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.strokeStyle = getComputedStyle(canvas).color;
    pen.lineWidth = 3;
    pen.beginPath();
    history.forEach((height, i) => pen.lineTo(2 * i, canvas.height - 8 - ((height - least) / (most - least)) * (canvas.height - 16)));
    pen.stroke();
    if (time - shown > 250) {
      show(now);
      shown = time;
    }
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}
