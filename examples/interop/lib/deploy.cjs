// Deploys a program with the upgradeable loader (loader-v3), as `solana program deploy` does.
const kit = require("@solana/kit");
const system = require("@solana-program/system");

const LOADER = kit.address("BPFLoaderUpgradeab1e11111111111111111111111");
const RENT = kit.address("SysvarRent111111111111111111111111111111111");
const CLOCK = kit.address("SysvarC1ock11111111111111111111111111111111");
/** What the loader keeps before a buffer's code, and what a program's own account has. */
const [BUFFER, PROGRAM] = [37, 36];
/** What fits into a transaction beside one signature and the accounts. */
const CHUNK = 900;

const u32 = (value) => new Uint8Array(new Uint32Array([value]).buffer);
const u64 = (value) => new Uint8Array(new BigUint64Array([BigInt(value)]).buffer);
const read = (address) => ({ address, role: kit.AccountRole.READONLY });
const write = (address) => ({ address, role: kit.AccountRole.WRITABLE });
const signs = ({ address, role }, signer) =>
  ({ address, role: role === kit.AccountRole.WRITABLE ? kit.AccountRole.WRITABLE_SIGNER : kit.AccountRole.READONLY_SIGNER, signer });
const instruction = (accounts, ...data) =>
  ({ programAddress: LOADER, accounts, data: Uint8Array.from(data.flatMap((part) => [...part])) });

/** Deploys code; gives the program's address. */
async function deploy({ rpc, send }, payer, code) {
  const [buffer, program] = [await kit.generateKeyPairSigner(), await kit.generateKeyPairSigner()];
  const make = async (newAccount, space) => {
    const lamports = await rpc.getMinimumBalanceForRentExemption(BigInt(space)).send();
    return system.getCreateAccountInstruction({ payer, newAccount, lamports, space, programAddress: LOADER });
  };
  await send(payer, await make(buffer, BUFFER + code.length),
    instruction([write(buffer.address), read(payer.address)], u32(0)));
  const writes = [];
  for (let offset = 0; offset < code.length; offset += CHUNK) {
    const bytes = code.subarray(offset, offset + CHUNK);
    const accounts = [write(buffer.address), signs(read(payer.address), payer)];
    writes.push(send(payer, instruction(accounts, u32(1), u32(offset), u64(bytes.length), bytes)));
  }
  await Promise.all(writes);
  const seeds = [kit.getAddressEncoder().encode(program.address)];
  const [data] = await kit.getProgramDerivedAddress({ programAddress: LOADER, seeds });
  const accounts = [
    signs(write(payer.address), payer), write(data), write(program.address), write(buffer.address),
    read(RENT), read(CLOCK), read(system.SYSTEM_PROGRAM_ADDRESS), signs(read(payer.address), payer),
  ];
  await send(payer, await make(program, PROGRAM), instruction(accounts, u32(2), u64(code.length)));
  return program.address;
}

module.exports = { deploy };
