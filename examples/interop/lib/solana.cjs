// A client of Solana's.
const kit = require("@solana/kit");
const { url, soon } = require("./story.cjs");

const commitment = "confirmed";
const COMPUTE_BUDGET = kit.address("ComputeBudget111111111111111111111111111111");

/** So many compute units may be used: gas of Ethereum counts as compute units of Solana. */
function units(count) {
  const data = Uint8Array.of(2, ...new Uint8Array(new Uint32Array([count]).buffer));
  return { programAddress: COMPUTE_BUDGET, accounts: [], data };
}

function client() {
  const rpc = kit.createSolanaRpc(url.solana);
  const rpcSubscriptions = kit.createSolanaRpcSubscriptions(url.solanaWs);
  const confirm = kit.sendAndConfirmTransactionFactory({ rpc, rpcSubscriptions });
  const drop = kit.airdropFactory({ rpc, rpcSubscriptions });

  /** A new wallet with some SOL. */
  const wallet = async (sol) => {
    const signer = await kit.generateKeyPairSigner();
    const lamports = kit.lamports(BigInt(sol) * 1_000_000_000n);
    await soon("the airdrop", drop({ commitment, lamports, recipientAddress: signer.address }));
    return signer;
  };

  const signed = async (payer, instructions) => {
    const { value: latest } = await rpc.getLatestBlockhash({ commitment }).send();
    const message = kit.pipe(
      kit.createTransactionMessage({ version: 0 }),
      (message) => kit.setTransactionMessageFeePayerSigner(payer, message),
      (message) => kit.setTransactionMessageLifetimeUsingBlockhash(latest, message),
      (message) => kit.appendTransactionMessageInstructions(instructions, message),
    );
    return kit.signTransactionMessageWithSigners(message);
  };

  /** What a transaction would do. */
  const simulate = async (payer, ...instructions) => {
    const wire = kit.getBase64EncodedWireTransaction(await signed(payer, instructions));
    return (await rpc.simulateTransaction(wire, { encoding: "base64", commitment }).send()).value;
  };

  /** Sends one transaction, and waits for it. Gives its signature, and what it did. */
  const send = async (payer, ...instructions) => {
    const transaction = await signed(payer, instructions);
    const signature = kit.getSignatureFromTransaction(transaction);
    try {
      await soon("a confirmation", confirm(transaction, { commitment }));
    } catch (error) {
      const logs = error.context?.logs ?? [];
      throw new Error(`${error.message}\n${logs.join("\n")}`, { cause: error });
    }
    const config = { commitment, encoding: "json", maxSupportedTransactionVersion: 0 };
    const { meta } = await rpc.getTransaction(signature, config).send();
    return { signature, meta };
  };
  return { rpc, send, simulate, wallet };
}

module.exports = { client, commitment, units };
