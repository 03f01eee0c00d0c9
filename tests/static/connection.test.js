import assert from "node:assert/strict";
import { test } from "node:test";
import { backoff, socketUrl } from "../../tes_nb/static/connection.js";

const at = (address) => new URL(address);

test("where a stream's socket is: here, on the other port, behind a proxy", () => {
  const cases = [
    ["http://127.0.0.1:3002/", 3002, "ws://127.0.0.1:3002/ws/x"],
    ["http://127.0.0.1:3002/#metrics", 3003, "ws://127.0.0.1:3003/ws/x"],
    ["http://[::1]:3002/", 3003, "ws://[::1]:3003/ws/x"],
    ["https://hub.example/user/me/proxy/3002/", 3002, "wss://hub.example/user/me/proxy/3002/ws/x"],
    ["https://hub.example/user/me/proxy/3002/", 3003, "wss://hub.example/user/me/proxy/3003/ws/x"],
    ["https://hub.example/user/me/proxy/3002/", null, "wss://hub.example/user/me/proxy/3002/ws/x"],
    ["http://localhost/", null, "ws://localhost/ws/x"],
    ["http://h:8888/proxy/absolute/3002/", 3003, "ws://h:8888/proxy/absolute/3003/ws/x"],
  ];
  for (const [address, port, url] of cases) assert.equal(socketUrl(at(address), port, "/ws/x"), url);
});

test("pauses grow, keep half of themselves, and have an end", () => {
  assert.equal(backoff(0, () => 0), 0.25);
  assert.equal(backoff(3, () => 1), 4);
  assert.equal(backoff(50, () => 1), 10);
  assert.ok(Array.from({ length: 100 }, () => backoff(4)).every((pause) => pause >= 4 && pause <= 8));
});
