// What each view does with a message of the kernel. Binary parts come as views into a larger buffer.

/** The bytes of a buffer that came with a message; null = it is empty, or there is none. */
export function bytesOf(buffer) {
  return buffer?.byteLength ? new Uint8Array(buffer.buffer ?? buffer, buffer.byteOffset ?? 0, buffer.byteLength) : null;
}

export const TAKES = {
  rows: (view, content) => view.apply(content),
  values: (view, content) => view.update(content.rows ?? [], content.replace),
  messages: (view, content, buffers) => view.add(content.items ?? [], buffers.map(bytesOf), content.replace),
  payload: (view, content, buffers) => view.payload(content.id, bytesOf(buffers[0])),
  state: (view, content) => view.setState(content.state ?? {}),
};

/** Messages that are kept for a view that is made later than they come. */
export const BACKLOG = 500;

/** Keep a message in the list of those since the last complete telling. */
export function keepIn(kept, content, buffers) {
  if (content?.replace) kept.length = 0;
  if (kept.length < BACKLOG) kept.push([content, buffers]);
}
