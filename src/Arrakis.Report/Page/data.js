"use strict";

// The document of `--data` with its long rows of numbers packed beside it: inflated, and every row put back in its place.
{
  const inflate = async (bytes) => {
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).arrayBuffer();
  };

  const rows = {
    f32: (buffer, at, count) => new Float32Array(buffer, at, count),
    u16: (buffer, at, count) => Float32Array.from(new Uint16Array(buffer, at, count), (value) => value / 65535),
  };

  const revive = (value, buffer, from) => {
    if (value === null || typeof value !== "object") return value;
    if (typeof value.packed === "string") return rows[value.packed](buffer, from + value.at, value.count);
    for (const key of Object.keys(value)) value[key] = revive(value[key], buffer, from);
    return value;
  };

  /** Reads the page's own data. */
  Arrakis.read = async () => {
    const text = atob(document.getElementById("data").textContent.trim());
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
    const buffer = await inflate(bytes);
    const length = new DataView(buffer).getUint32(0, true);
    const json = new TextDecoder().decode(new Uint8Array(buffer, 4, length));
    const data = revive(JSON.parse(json), buffer, 4 + length);
    const { layers, heads } = data.model;
    const patterns = Array.from({ length: layers }, () => new Array(heads).fill(null));
    for (const { layer, head, pattern } of data.attention.heads) patterns[layer][head] = pattern;
    /** Where a head looks, rows of t + 1 keys one after another; null where it was left out. */
    data.pattern = (layer, head) => patterns[layer][head];
    data.label = (position) => data.tokens[position].text;
    // Without a tokenizer the texts are the ids, and a sentence has to say so: its other numbers are positions.
    data.isNamed = data.tokens.some(({ id, text }) => text !== String(id));
    /** A token in a sentence: its text, or its id. */
    data.called = ({ id, text }, most = Infinity) => (data.isNamed ? Arrakis.short(text, most) : `id ${id}`);
    data.name = (position, most) => data.called(data.tokens[position], most);
    return data;
  };

  /** A[t, s] in rows of t + 1 keys. */
  Arrakis.look = (pattern, query, key) => (key > query ? 0 : pattern[(query * (query + 1)) / 2 + key]);
}
