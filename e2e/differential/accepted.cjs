// What the node may answer differently from anvil 1.7.1, and why. `at` is matched against the method, the
// request's name in parentheses, and the path in the reply; `node` holds the node's value to something.
const isNull = (value) => value === null;
const isAbsent = (value) => typeof value === "symbol";
const same = (wanted) => (value) => value === wanted;
const isHash = (value) => /^0x[0-9a-f]{64}$/.test(value);

module.exports = [
  { at: /^web3_clientVersion/, node: (name) => /^polity\/v/.test(name), why: "each is called by its name" },
  { at: /^eth_protocolVersion/, node: same("0x44"), why: "a quantity, as the specification has it; anvil gives a number" },
  { at: /^(eth_mining|net_peerCount)/, why: "geth answers it, anvil does not know it" },

  // Blocks.
  { at: /stateRoot$/, node: isHash, why: "the state's trie is not Ethereum's, and so is its root" },
  { at: /totalDifficulty$/, node: isAbsent, why: "geth tells it no longer since the merge" },
  { at: /[. ]size$/, why: "anvil forgets the empty list of withdrawals, which is a byte" },
  { at: /mixHash$/, node: isHash, why: "random numbers" },
  { at: /\(pending\) result\.(hash|miner|nonce)$/, node: isNull, why: "a pending block has none yet, as in geth" },
  { at: /\(not mined yet\) result\.(hash|miner|nonce)$/, node: isNull, why: "a pending block has none yet, as in geth" },
  { at: /\(not mined yet\) result\.transactions\[\]\.(blockHash|blockTimestamp)$/, why: "of a block that is not made yet" },

  { at: /\((safe|finalized)\) result\.(hash|parentHash|number|timestamp)$/, why: "nobody else makes blocks: the latest is final; anvil counts as if there were epochs" },
  { at: /\(pending\) result\.timestamp$/, node: (found, anvil) => Number(found) > Number(anvil), why: "a block is younger than its parent" },

  // Transactions and receipts.
  { at: /blobGasPrice$/, node: isAbsent, why: "only a transaction with blobs has a price for them, as in geth" },
  { at: /(Receipts?|RawTransactionSync)[^.]* result(\[\])?\.?blockTimestamp$/, node: isAbsent, why: "anvil's addition" },
  { at: /(txpool_content|\(pending\)|\(not mined yet\)).*gasPrice$/, why: "of a transaction that waits geth tells the most that it may cost" },
  { at: /\(not mined yet\) result\.timestamp$/, why: "the nodes' own clocks" },
  { at: /ByHash \((anvil|hardhat)_impersonateAccount\) result\.[rs]$/, why: "a signature that nobody made" },
  { at: /^txpool_(content|inspect) .*\.0x[0-9a-fA-F]{40}$/, why: "geth writes the senders with their checksum" },
  { at: /^eth_estimateGas/, node: (found, anvil) => Number(found) >= Number(anvil) && Number(found) <= 1.015 * Number(anvil), why: "geth's search ends within 1.5 %" },

  // What anvil has and geth does not.
  { at: /^debug_codeByHash/, why: "anvil's addition" },
  { at: /^eth_feeHistory.*result\.reward$/, node: isAbsent, why: "geth tells no rewards where nobody asked" },

  { at: /^eth_feeHistory \(no percentiles\) result\.baseFeePerGas\[\]$/, why: "anvil takes the fee after the latest block for that after the last asked for" },
  { at: /^eth_getProof result\.storageHash$/, why: "there is no trie of an account's own" },
  { at: /^eth_getProof result\.proofFormat$/, node: same("polity"), why: "proofs are of our trie, and say so" },
  { at: /^eth_config result\.current\.forkId$/, node: (id) => /^0x[0-9a-f]{8}$/.test(id), why: "EIP-6122's hash of the first block, as geth has it; anvil says zero" },

  // Traces.
  { at: /^debug_trace(Block|.*callTracer|Call \((a revert|a deployment|overrides)\)).*gas$/i, why: "geth's call has the gas of the transaction; anvil's what is left after the intrinsic cost" },
  { at: /^debug_traceBlock.*gasUsed$/, why: "anvil adds up the gas of the transactions before" },
  { at: /^debug_trace(Transaction|Call) \((flatCall|mux|4byte)Tracer/, why: "anvil has no such tracer" },
  { at: /prestateTracer.* result\.0x[0-9a-f]{40}$/, node: isAbsent, why: "geth leaves out accounts that were empty" },
  { at: /^trace_transaction \(unknown\)/, node: isNull, why: "as reth" },

  // Powers.
  { at: /^hardhat_mine/, node: same(true), why: "as Hardhat" },
  { at: /^evm_set(Automine|IntervalMining)/, node: same(true), why: "as Hardhat" },
  { at: /three, ten seconds apart\) result\.timestamp$/, why: "the interval lies between the blocks, as in Hardhat; anvil also lets it pass before the first" },
  { at: /^(anvil_setChainId|eth_chainId \(anvil_setChainId\)) (result|error)$/, why: "not served: the chain id is part of the first block" },
];
