// Compiles the contracts next to this file into hex files beside them: the code as deployed, and
// `.init.hex`, the code that deploys it.
//
//   npm install solc@0.8.37 && node build.cjs

const fs = require('fs')
const path = require('path')
const solc = require('solc')

const sources = {}
for (const file of fs.readdirSync(__dirname).filter(file => file.endsWith('.sol'))) {
  sources[file] = { content: fs.readFileSync(path.join(__dirname, file), 'utf8') }
}
const input = {
  language: 'Solidity',
  sources,
  settings: {
    optimizer: { enabled: true, runs: 200 },
    evmVersion: 'cancun',
    metadata: { bytecodeHash: 'none', appendCBOR: false },
    outputSelection: { '*': { '*': ['evm.bytecode.object', 'evm.deployedBytecode.object'] } },
  },
}
const output = JSON.parse(solc.compile(JSON.stringify(input)))
const errors = (output.errors ?? []).filter(error => error.severity === 'error')
if (errors.length > 0) {
  throw new Error(errors.map(error => error.formattedMessage).join('\n'))
}
for (const contracts of Object.values(output.contracts)) {
  for (const [name, { evm }] of Object.entries(contracts)) {
    const deployed = evm.deployedBytecode.object
    if (deployed === '') continue
    const to = path.join(__dirname, name.toLowerCase())
    fs.writeFileSync(`${to}.hex`, `${deployed}\n`)
    fs.writeFileSync(`${to}.init.hex`, `${evm.bytecode.object}\n`)
  }
}
