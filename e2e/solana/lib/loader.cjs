// The upgradeable loader's instructions (loader-v3), which web3.js 1 does not have.
const web3 = require("@solana/web3.js");

const LOADER = new web3.PublicKey("BPFLoaderUpgradeab1e11111111111111111111111");
/** What an account of the loader begins with. */
const BUFFER = 37;
const PROGRAM = 36;
const PROGRAMDATA = 45;
/** What fits into a transaction beside one signature and the accounts. */
const CHUNK = 900;

const u32 = (value) => Buffer.from(new Uint32Array([value]).buffer);
const u64 = (value) => Buffer.from(new BigUint64Array([BigInt(value)]).buffer);
const read = (pubkey) => ({ pubkey, isSigner: false, isWritable: false });
const write = (pubkey) => ({ pubkey, isSigner: false, isWritable: true });
const signs = (meta) => ({ ...meta, isSigner: true });

const instruction = (keys, ...data) =>
  new web3.TransactionInstruction({ programId: LOADER, keys, data: Buffer.concat(data) });

/** Where the code of a program is. */
const programData = (program) =>
  web3.PublicKey.findProgramAddressSync([program.toBytes()], LOADER)[0];

/** Makes a buffer and writes code into it; `send` sends instructions signed by these keys. */
async function buffer(connection, send, payer, code) {
  const buffer = web3.Keypair.generate();
  const space = BUFFER + code.length;
  const lamports = await connection.getMinimumBalanceForRentExemption(space);
  const create = web3.SystemProgram.createAccount({
    fromPubkey: payer.publicKey, newAccountPubkey: buffer.publicKey, lamports, space, programId: LOADER,
  });
  const initialize = instruction([write(buffer.publicKey), read(payer.publicKey)], u32(0));
  await send([create, initialize], [payer, buffer]);
  const writes = [];
  for (let offset = 0; offset < code.length; offset += CHUNK) {
    const bytes = code.subarray(offset, offset + CHUNK);
    const keys = [write(buffer.publicKey), signs(read(payer.publicKey))];
    writes.push(send([instruction(keys, u32(1), u32(offset), u64(bytes.length), bytes)], [payer]));
  }
  await Promise.all(writes);
  return buffer.publicKey;
}

/** Deploys code with room for `room` bytes; the payer may upgrade it. */
async function deploy(connection, send, payer, code, room) {
  const program = web3.Keypair.generate();
  const from = await buffer(connection, send, payer, code);
  const lamports = await connection.getMinimumBalanceForRentExemption(PROGRAM);
  const create = web3.SystemProgram.createAccount({
    fromPubkey: payer.publicKey, newAccountPubkey: program.publicKey, lamports, space: PROGRAM,
    programId: LOADER,
  });
  const keys = [
    signs(write(payer.publicKey)), write(programData(program.publicKey)), write(program.publicKey),
    write(from), read(web3.SYSVAR_RENT_PUBKEY), read(web3.SYSVAR_CLOCK_PUBKEY),
    read(web3.SystemProgram.programId), signs(read(payer.publicKey)),
  ];
  await send([create, instruction(keys, u32(2), u64(room))], [payer, program]);
  return program.publicKey;
}

/** Gives a program other code. */
async function upgrade(connection, send, payer, program, code) {
  const from = await buffer(connection, send, payer, code);
  const keys = [
    write(programData(program)), write(program), write(from), write(payer.publicKey),
    read(web3.SYSVAR_RENT_PUBKEY), read(web3.SYSVAR_CLOCK_PUBKEY), signs(read(payer.publicKey)),
  ];
  await send([instruction(keys, u32(3))], [payer]);
}

/** Says who may upgrade a program: nobody from now on. */
async function finalize(send, payer, program) {
  const keys = [write(programData(program)), signs(read(payer.publicKey))];
  await send([instruction(keys, u32(4))], [payer]);
}

module.exports = { BUFFER, LOADER, PROGRAM, PROGRAMDATA, deploy, finalize, programData, upgrade };
