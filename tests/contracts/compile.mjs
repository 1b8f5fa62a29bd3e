// Reads SignedVault.sol beside this file, prints what stands in SignedVault.json. The metadata hash is left out, so that
// the same source gives the same bytes wherever it lies.
import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const solc = createRequire(process.argv[2] + "/")("solc");
const file = "SignedVault.sol";
const source = readFileSync(new URL(file, import.meta.url), "utf8");
const input = {
  language: "Solidity",
  sources: { [file]: { content: source } },
  settings: {
    evmVersion: "shanghai",
    optimizer: { enabled: true, runs: 200 },
    metadata: { bytecodeHash: "none", appendCBOR: false },
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
  },
};
const output = JSON.parse(solc.compile(JSON.stringify(input)));
if (output.errors?.length) {
  console.error(output.errors.map((problem) => problem.formattedMessage).join("\n"));
  process.exit(1);
}
const made = output.contracts[file].SignedVault;
const result = {
  abi: made.abi,
  bytecode: "0x" + made.evm.bytecode.object,
  compiler: solc.version().split("+")[0],
  deployed: "0x" + made.evm.deployedBytecode.object,
  source: createHash("sha256").update(source).digest("hex"),
};
process.stdout.write(JSON.stringify(result, null, 1) + "\n");
