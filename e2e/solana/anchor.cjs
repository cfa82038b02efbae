// A program's story with Anchor's client: an IDL, accounts, errors and events of the counter program.
const anchor = require("@coral-xyz/anchor");
const web3 = require("@solana/web3.js");
const { deploy } = require("./lib/loader.cjs");
const { assert, elf, idl, refused, soon, story, tells, until, url, wsUrl } = require("./lib/story.cjs");

const { AnchorProvider, BN, Program, Wallet } = anchor;

story(async () => {
  const connection = new web3.Connection(url, { commitment: "confirmed", wsEndpoint: wsUrl });
  const ana = web3.Keypair.generate();
  const options = { commitment: "confirmed", preflightCommitment: "confirmed" };
  const provider = new AnchorProvider(connection, new Wallet(ana), options);
  const send = (instructions, signers) =>
    provider.sendAndConfirm(new web3.Transaction().add(...instructions), signers.slice(1));

  const program = await tells("a program is deployed", async () => {
    const signature = await connection.requestAirdrop(ana.publicKey, 20 * web3.LAMPORTS_PER_SOL);
    const latest = await connection.getLatestBlockhash();
    await soon("an airdrop", connection.confirmTransaction({ signature, ...latest }));
    const code = elf("counter");
    const address = await deploy(connection, send, ana, code, code.length);
    const slot = await connection.getSlot();
    await until("the slot is over", async () => (await connection.getSlot()) > slot + 1);
    return new Program({ ...idl("counter"), address: address.toBase58() }, provider);
  });
  const [counter] = web3.PublicKey.findProgramAddressSync(
    [Buffer.from("counter"), ana.publicKey.toBytes()], program.programId,
  );

  await tells("an account at the program's own address", async () => {
    const { pubkeys } = await program.methods.initialize(new BN(40)).rpcAndKeys();
    assert.ok(pubkeys.counter.equals(counter));
    const account = await program.account.counter.fetch(counter);
    assert.ok(account.authority.equals(ana.publicKey));
    assert.equal(account.count.toNumber(), 40);
    assert.equal(account.note.length, 0);
  });

  await tells("events are read from logs", async () => {
    let tell;
    const told = new Promise((resolve) => (tell = resolve));
    const id = program.addEventListener("counted", (event, slot, signature) => tell({ event, slot, signature }));
    // The client does not say when its subscription has begun.
    await new Promise((resolve) => setTimeout(resolve, 300));
    const signature = await program.methods.increment(new BN(2)).rpc();
    const seen = await soon("the event", told);
    assert.equal(seen.signature, signature);
    assert.ok(seen.event.counter.equals(counter));
    assert.equal(seen.event.count.toNumber(), 42);
    await program.removeEventListener(id);
    const { meta } = await connection.getTransaction(signature, { maxSupportedTransactionVersion: 0, commitment: "confirmed" });
    const [event] = new anchor.EventParser(program.programId, program.coder).parseLogs(meta.logMessages);
    assert.equal(event.name, "counted");
    assert.equal(event.data.count.toNumber(), 42);
  });

  await tells("a simulation returns, and changes nothing", async () => {
    const instruction = await program.methods.increment(new BN(1)).instruction();
    const { blockhash } = await connection.getLatestBlockhash();
    const message = new web3.TransactionMessage({
      payerKey: ana.publicKey, recentBlockhash: blockhash, instructions: [instruction],
    }).compileToV0Message();
    const transaction = new web3.VersionedTransaction(message);
    const { value } = await connection.simulateTransaction(transaction, { replaceRecentBlockhash: true });
    assert.equal(value.err, null);
    const [data, encoding] = value.returnData.data;
    assert.equal(encoding, "base64");
    assert.equal(new BN(Buffer.from(data, "base64"), "le").toNumber(), 43);
    assert.equal((await program.account.counter.fetch(counter)).count.toNumber(), 42);
    const { events } = await program.methods.increment(new BN(1)).simulate();
    assert.equal(events[0].data.count.toNumber(), 43);
  });

  await tells("a note, for which the account grows and shrinks", async () => {
    for (const note of ["a long note ".repeat(40), "short", ""]) {
      await program.methods.writeNote(Buffer.from(note)).rpc();
      const { data, lamports } = await connection.getAccountInfo(counter);
      assert.equal(data.length, 53 + note.length);
      assert.equal(lamports, await connection.getMinimumBalanceForRentExemption(data.length));
      const account = await program.account.counter.fetch(counter);
      assert.equal(Buffer.from(account.note).toString(), note);
    }
  });

  await tells("errors have their names", async () => {
    const maximum = new BN("ffffffffffffffff", 16);
    const overflow = await refused(program.methods.increment(maximum).rpc());
    assert.ok(overflow instanceof anchor.AnchorError, String(overflow));
    const { errorCode, errorMessage } = overflow.error;
    assert.deepEqual(errorCode, { code: "Overflow", number: 6004 });
    assert.equal(errorMessage, "The count is too large");
    assert.ok(overflow.program.equals(program.programId));
    const ben = web3.Keypair.generate();
    const accounts = { counter, authority: ben.publicKey };
    const wrong = await refused(program.methods.increment(new BN(1)).accountsPartial(accounts).signers([ben]).rpc());
    assert.equal(wrong.error.errorCode.code, "WrongAuthority");
  });

  await tells("all accounts of the program", async () => {
    const ben = web3.Keypair.generate();
    const pay = web3.SystemProgram.transfer({
      fromPubkey: ana.publicKey, toPubkey: ben.publicKey, lamports: web3.LAMPORTS_PER_SOL,
    });
    await program.methods.initialize(new BN(7)).accountsPartial({ authority: ben.publicKey })
      .preInstructions([pay]).signers([ben]).rpc();
    const all = await program.account.counter.all();
    assert.deepEqual(all.map(({ account }) => account.count.toNumber()).sort((a, b) => a - b), [7, 42]);
    const filter = { memcmp: { offset: 8, bytes: ben.publicKey.toBase58() } };
    assert.equal((await program.account.counter.all([filter])).length, 1);
  });

  await tells("the account is closed", async () => {
    const receiver = web3.Keypair.generate().publicKey;
    const had = (await connection.getAccountInfo(counter)).lamports;
    await program.methods.close().accounts({ receiver }).rpc();
    assert.equal(await connection.getAccountInfo(counter), null);
    assert.equal(await connection.getBalance(receiver), had);
    assert.equal(await program.account.counter.fetchNullable(counter), null);
  });
});
