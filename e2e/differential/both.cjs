// Two nodes that are asked the same.

/** A value that each node has its own of, such as the hash of a block. */
class Pair {
  constructor(anvil, node) {
    this.anvil = anvil;
    this.node = node;
  }

  map(change) {
    return new Pair(change(this.anvil), change(this.node));
  }
}

const SIDES = ["anvil", "node"];
const ABSENT = Symbol("absent");

/** What a side sees of a value that may hold pairs. */
function seen(value, side) {
  if (value instanceof Pair) return value[side];
  if (Array.isArray(value)) return value.map((item) => seen(item, side));
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, seen(item, side)]));
  }
  return value;
}

class Both {
  constructor(anvil, node, accepted) {
    this.urls = { anvil, node };
    this.accepted = accepted.map((rule) => ({ ...rule, used: 0 }));
    this.names = { anvil: new Map(), node: new Map() };
    this.differences = [];
    this.asked = 0;
    this.compared = 0;
    this.part = "";
  }

  /** Posts what each side sees of a body; a pair of `{ status, headers, text }`. */
  async post(body, { method = "POST", headers = { "content-type": "application/json" } } = {}) {
    const post = async (side) => {
      const own = seen(body, side);
      const text = own === undefined || typeof own === "string" ? own : JSON.stringify(own);
      const signal = AbortSignal.timeout(20_000);
      try {
        const response = await fetch(this.urls[side], { method, headers, body: text, signal });
        return { status: response.status, headers: response.headers, text: await response.text() };
      } catch (error) {
        return { status: 0, headers: new Headers(), text: `${error.cause ?? error}` };
      }
    };
    return new Pair(...(await Promise.all(SIDES.map(post))));
  }

  /** Asks both and compares nothing; fails where one refuses. */
  async rpc(method, params = []) {
    const answers = await this.#answers(method, params);
    for (const side of SIDES) {
      const { error } = answers[side];
      if (error) throw new Error(`${side} refuses ${method}: ${JSON.stringify(error)}`);
    }
    return answers.map(({ result }) => result);
  }

  async #answers(method, params) {
    const replies = await this.post({ jsonrpc: "2.0", id: 1, method, params });
    return replies.map(({ status, text }) => {
      try {
        return JSON.parse(text);
      } catch {
        return { error: `HTTP ${status}: ${text.slice(0, 200)}` };
      }
    });
  }

  /**
   * Asks both and compares the replies.
   *
   * - `as`: what tells this request from others of its method in the report.
   * - `geth`: what geth answers where anvil answers something else; the node is held to it. A function
   *   that looks at the result, or `[code, message]` or `[code, message, data]` of an error, each a
   *   value or a pattern.
   * - `only`: a function that picks what is compared of a result.
   */
  async ask(method, params = [], { as, geth, only = (result) => result } = {}) {
    const answers = await this.#answers(method, params);
    this.asked += 1;
    const where = as ? `${method} (${as})` : method;
    if (geth) {
      this.#held(where, geth, answers);
    } else {
      const body = ({ result, error }) => (error ? { error } : { result: only(result) });
      this.compare(where, answers.map(body));
    }
    return answers.map(({ result }) => result);
  }

  #held(where, geth, { anvil, node }) {
    this.compared += 1;
    const fits = (wanted, found) => (wanted instanceof RegExp ? wanted.test(found) : wanted === found);
    const right = Array.isArray(geth)
      ? node.error && [node.error.code, node.error.message, node.error.data].every(
        (found, index) => geth[index] === undefined || fits(geth[index], found))
      : !node.error && geth(node.result);
    if (!right) {
      this.differs(where, {
        geth: Array.isArray(geth) ? geth.map(String).join(" | ") : String(geth),
        anvil: anvil.error ?? anvil.result,
        node: node.error ?? node.result,
      });
    }
  }

  /** Learns that these hashes are the same thing on both sides. */
  name(pair, name) {
    for (const side of SIDES) if (pair[side]) this.names[side].set(pair[side], `<${name}>`);
  }

  /** Waits until both mined a transaction; anvil answers before. */
  async settle(hash) {
    for (let tries = 0; tries < 500; tries++) {
      const receipts = await this.rpc("eth_getTransactionReceipt", [hash]);
      if (receipts.anvil && receipts.node) return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error("a transaction is not mined");
  }

  /** Learns the hashes of blocks up to the latest. */
  async learn() {
    const head = (await this.rpc("eth_blockNumber")).map(Number);
    for (let number = Math.min(head.anvil, head.node); number >= 0; number--) {
      const block = await this.rpc("eth_getBlockByNumber", [`0x${number.toString(16)}`, false]);
      const known = SIDES.every((side) => this.names[side].has(block[side].hash));
      this.name(block.map(({ hash }) => hash), `hash of block ${number}`);
      if (known) break;
    }
  }

  /** Compares two values; each difference that nothing accepts is reported. */
  compare(where, pair) {
    this.#walk(where, "", this.#named("anvil", pair.anvil), this.#named("node", pair.node));
  }

  #named(side, value) {
    if (typeof value === "string") return this.names[side].get(value) ?? value;
    if (Array.isArray(value)) return value.map((item) => this.#named(side, item));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, this.#named(side, item)]));
    }
    return value;
  }

  #walk(where, path, anvil, node) {
    const object = (value) => value !== null && typeof value === "object";
    if (object(anvil) && object(node) && Array.isArray(anvil) === Array.isArray(node)) {
      const keys = new Set([...Object.keys(anvil), ...Object.keys(node)]);
      for (const key of keys) {
        const step = Array.isArray(anvil) ? `[${key}]` : `.${key}`;
        const value = (from) => (key in from ? from[key] : ABSENT);
        this.#walk(where, path + step, value(anvil), value(node));
      }
      return;
    }
    this.compared += 1;
    if (anvil === node) return;
    const place = `${where} ${path.replace(/\[\d+\]/g, "[]").replace(/^\./, "")}`;
    const rule = this.accepted.find(({ at, node: fits }) => at.test(place) && (!fits || fits(node, anvil)));
    if (rule) rule.used += 1;
    else this.differs(`${where} ${path.replace(/^\./, "")}`, { anvil, node });
  }

  differs(where, values) {
    this.differences.push({ where: `${this.part}: ${where}`, values });
  }

  /** Prints what differs; whether nothing does. */
  report(all) {
    const short = (value) => {
      if (value === ABSENT) return "(absent)";
      const text = typeof value === "string" ? value : JSON.stringify(value);
      return text.length > 300 ? `${text.slice(0, 300)}… (${text.length} characters)` : text;
    };
    for (const { where, values } of this.differences) {
      console.log(where);
      for (const [side, value] of Object.entries(values)) console.log(`    ${side.padEnd(6)}${short(value)}`);
    }
    const used = this.accepted.filter((rule) => rule.used > 0);
    if (all) for (const { at, why, used: times } of this.accepted) console.log(`${String(times).padStart(5)} × ${at}: ${why}`);
    console.log(`${this.asked} requests, ${this.compared} fields compared, ${this.differences.length} differ; ` +
      `${used.length} of ${this.accepted.length} accepted differences occurred`);
    return this.differences.length === 0;
  }
}

module.exports = { Both, Pair };
