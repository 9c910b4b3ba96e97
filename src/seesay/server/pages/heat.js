/** Where a word looked: the picture stays as it is there, and grows dark elsewhere. */

const DARK = 0.8;
const FINER = 8; // times as many points each way as the model's grid has

/** Draw the heat, lines of values from 0 to 1, over a canvas as large as the picture is shown. */
export function spotlight(canvas, heat) {
  const most = Math.max(...heat.flat(), 1e-6);
  const [rows, columns] = [FINER * heat.length, FINER * heat[0].length];
  const small = new OffscreenCanvas(columns, rows);
  const pen = small.getContext("2d");
  const pixels = pen.createImageData(columns, rows);
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const value = between(heat, (row + 0.5) / FINER - 0.5, (column + 0.5) / FINER - 0.5) / most;
      pixels.data[4 * (row * columns + column) + 3] = 255 * DARK * (1 - Math.sqrt(value));
    }
  }
  pen.putImageData(pixels, 0, 0);
  const scale = Math.min(2, window.devicePixelRatio || 1);
  canvas.width = Math.round(canvas.clientWidth * scale);
  canvas.height = Math.round(canvas.clientHeight * scale);
  const brush = canvas.getContext("2d");
  brush.imageSmoothingQuality = "high";
  brush.drawImage(small, 0, 0, canvas.width, canvas.height);
}

/** The value between the four cells around a point, without edges where cells meet. */
function between(heat, row, column) {
  const [top, left] = [Math.floor(row), Math.floor(column)];
  const [down, right] = [soft(row - top), soft(column - left)];
  const at = (y, x) => heat[Math.min(Math.max(y, 0), heat.length - 1)][Math.min(Math.max(x, 0), heat[0].length - 1)];
  const above = at(top, left) * (1 - right) + at(top, left + 1) * right;
  const below = at(top + 1, left) * (1 - right) + at(top + 1, left + 1) * right;
  return above * (1 - down) + below * down;
}

function soft(part) {
  return part * part * (3 - 2 * part);
}
