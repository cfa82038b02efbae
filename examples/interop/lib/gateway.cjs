// The gateway's program on Solana: its addresses, and how its instructions are written.
const { createHash } = require("crypto");
const { AccountRole, address, getAddressDecoder, getAddressEncoder, getProgramDerivedAddress } =
  require("@solana/kit");
const { TOKEN_PROGRAM_ADDRESS, findAssociatedTokenPda } = require("@solana-program/token");
const { hexToBytes, keccak256, pad } = require("viem");

const GATEWAY = address("Gateway111111111111111111111111111111111111");
const SYSTEM = address("11111111111111111111111111111111");

/** The bytes that name a machine. An asset is an account of the kernel's. */
const MACHINE = { kernel: 0, ethereum: 1, solana: 3 };

const bytesOf = (key) => new Uint8Array(getAddressEncoder().encode(key));
const keyOf = (bytes) => getAddressDecoder().decode(bytes);
const concat = (...parts) => Uint8Array.from(parts.flatMap((part) => [...part]));

/** A number in `length` bytes, the lowest first. */
function number(value, length) {
  return Uint8Array.from({ length }, (_, place) => Number((BigInt(value) >> BigInt(8 * place)) & 0xffn));
}

/** An account of any machine, as instructions name it: the machine's byte, and 32 bytes of address. */
const account = {
  ethereum: (address) => concat([MACHINE.ethereum], hexToBytes(pad(address, { size: 32 }))),
  solana: (address) => concat([MACHINE.solana], bytesOf(address)),
  asset: (asset) => concat([MACHINE.kernel], hexToBytes(asset)),
};

/** What Solana calls an account of another machine, or an asset: the address of its alias. */
function alias(account) {
  const [machine, address] = [account.subarray(0, 1), account.subarray(1)];
  const hash = createHash("sha256").update(address).update(machine).update("polity/alias/solana");
  return keyOf(new Uint8Array(hash.digest()));
}

/** The asset of the ledger that goes around in place of a mint's tokens. */
const assetOf = (mint) => keccak256(concat(account.solana(GATEWAY), bytesOf(mint)));

const derived = async (...seeds) => {
  const [address] = await getProgramDerivedAddress({ programAddress: GATEWAY, seeds });
  return address;
};

/** The account through which SOL leaves Solana's programs and comes back to them. */
const vault = () => derived("vault");

/** Who owns the tokens in custody, and the token account where those of a mint lie. */
async function custody(mint, tokenProgram = TOKEN_PROGRAM_ADDRESS) {
  const owner = await derived("custody");
  const [account] = await findAssociatedTokenPda({ owner, mint, tokenProgram });
  return { owner, account };
}

const read = (address) => ({ address, role: AccountRole.READONLY });
const write = (address) => ({ address, role: AccountRole.WRITABLE });
const signs = (signer) => ({ address: signer.address, role: AccountRole.READONLY_SIGNER, signer });
const instruction = (accounts, ...data) => ({ programAddress: GATEWAY, accounts, data: concat(...data) });

const FLAGS = { readOnly: 1, abort: 2, lock: 4 };

/** Calls an account of another machine; fails where the callee does. */
async function call(signer, target, payload, touched = []) {
  const [value, units] = [number(0, 8), number(0, 8)];
  const accounts = [signs(signer), write(await vault()), read(SYSTEM), ...touched];
  return instruction(accounts, [128], target, value, units, [FLAGS.abort], payload);
}

/** Writes down what an alias stands for, so that Solana's programs see it there. */
const register = (target) => instruction([write(alias(target))], [129], target);

/** Lets an account of another machine spend of what a wallet holds of an asset. */
const approve = (signer, asset, spender, amount) =>
  instruction([signs(signer)], [130], hexToBytes(asset), spender, number(amount, 16));

/** Takes SPL tokens into custody, and gives an account of any machine as much of the asset. */
async function deposit(signer, source, mint, amount, recipient, tokenProgram = TOKEN_PROGRAM_ADDRESS) {
  const { account } = await custody(mint, tokenProgram);
  const accounts = [signs(signer), write(source), read(mint), write(account), read(tokenProgram)];
  return instruction(accounts, [131], number(amount, 8), recipient);
}

/** Pays SPL tokens out of custody for as much of the asset, which the signer holds. */
async function withdraw(signer, target, mint, amount, tokenProgram = TOKEN_PROGRAM_ADDRESS) {
  const { account, owner } = await custody(mint, tokenProgram);
  const accounts =
    [signs(signer), write(target), read(mint), write(account), read(tokenProgram), read(owner)];
  return instruction(accounts, [132], number(amount, 8));
}

/** Sends what a wallet holds of an asset to an account of any machine; `shown` are token accounts that show it. */
const send = (signer, asset, recipient, amount, shown = []) => {
  const accounts = [signs(signer), ...shown.map(write)];
  return instruction(accounts, [133], hexToBytes(asset), recipient, number(amount, 16));
};

/** What a call returned: whether it succeeded, and the callee's output. */
function answer(data) {
  const length = new DataView(data.buffer, data.byteOffset).getUint32(1, true);
  const status = ["success", "reverted", "failed"][data[0]];
  return { status, output: data.subarray(5, 5 + length), isWhole: data.length >= 5 + length };
}

module.exports = {
  GATEWAY, MACHINE, account, alias, answer, approve, assetOf, bytesOf, call, custody, deposit, register,
  send, vault, withdraw,
};
