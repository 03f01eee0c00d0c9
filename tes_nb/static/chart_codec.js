// The binary append: new points of a chart, one message a tick. Python packs it (tes_nb/views/chart_codec.py).
//
// Everything is little-endian. Each block starts at a multiple of 8 bytes and is a run of rows whose series were
// seen at the same times; a series that was not seen is in no block, one that was seen without a value has NaN,
// which breaks its line.
//
//     offset  size  field
//     0       4     "TNBA"
//     4       1     version (1)
//     5       1     flags: 1 = keyframe (forget what you have: this is all there is)
//     6       2     number of blocks
//     8       4     sequence, counted up by one a message: a hole means that one was missed
//     12      4     length of the JSON part in bytes, a multiple of 8 (padded with spaces)
//     16      …     JSON: {} or {"series": [{key, label, column, unit, kind}, …]}, the new list of all series
//     then each block:
//     0       4     rows n
//     4       4     series m
//     8       4·m   places in the list of series, padded with zeros to a multiple of 8 bytes
//     …       8·n   times, Unix seconds, float64
//     …       8·n·m values, float64, one series after the other

const VERSION = 1;
const HEADER_BYTES = 16;
const MAGIC = 0x41424e54;
const KEYFRAME = 1;

/** What an append could not be read for: it was cut, or made by another version. */
export class AppendError extends Error {}

/**
 * Read one append.
 *
 * @param {ArrayBuffer | ArrayBufferView} buffer
 * @returns {{keyframe: boolean, sequence: number, series: object[] | null, blocks: Block[]}}
 *   `series` is null where the list has not changed. Times and values are views into a buffer of their own.
 * @typedef {{series: Uint32Array, times: Float64Array, values: Float64Array[]}} Block
 */
export function unpack(buffer) {
  const bytes = aligned(buffer);
  const head = new DataView(bytes);
  if (bytes.byteLength < HEADER_BYTES || head.getUint32(0, true) !== MAGIC) {
    throw new AppendError("This is no append of a tes_nb chart.");
  }
  if (head.getUint8(4) !== VERSION) {
    throw new AppendError(`The kernel speaks version ${head.getUint8(4)} of appends, this page ${VERSION}: reload it.`);
  }
  const jsonBytes = head.getUint32(12, true);
  const blocks = [];
  let at = HEADER_BYTES + jsonBytes;
  for (let left = head.getUint16(6, true); left > 0; left--) {
    const block = readBlock(bytes, at);
    blocks.push(block);
    at = block.end;
  }
  return {
    keyframe: (head.getUint8(5) & KEYFRAME) !== 0,
    sequence: head.getUint32(8, true),
    series: readSeries(bytes, jsonBytes),
    blocks,
  };
}

/** Typed arrays of 8-byte numbers need a start at a multiple of 8; a message inside a larger buffer has none. */
function aligned(buffer) {
  if (buffer instanceof ArrayBuffer) return buffer;
  return buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength);
}

function readSeries(bytes, length) {
  if (length > bytes.byteLength - HEADER_BYTES) throw new AppendError("The append is cut short.");
  const text = new TextDecoder().decode(new Uint8Array(bytes, HEADER_BYTES, length));
  return (text.trim() ? JSON.parse(text) : {}).series ?? null;
}

function readBlock(bytes, start) {
  const cut = () => new AppendError("The append is cut short.");
  if (start + 8 > bytes.byteLength) throw cut();
  const [rows, width] = new Uint32Array(bytes, start, 2);
  const timesAt = start + 8 + padded(4 * width);
  const end = timesAt + 8 * rows * (1 + width);
  if (end > bytes.byteLength) throw cut();
  const column = (place) => new Float64Array(bytes, timesAt + 8 * rows * (1 + place), rows);
  return {
    series: new Uint32Array(bytes, start + 8, width),
    times: new Float64Array(bytes, timesAt, rows),
    values: Array.from({ length: width }, (_, place) => column(place)),
    end,
  };
}

function padded(size) {
  return (size + 7) & ~7;
}
