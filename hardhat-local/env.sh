# Source me from bash: what the tools need to find one another, everything they write kept under build/.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
case "$(uname -m)" in x86_64) ARCH=amd64 ;; aarch64 | arm64) ARCH=arm64 ;; *) ARCH=$(uname -m) ;; esac
for tool in anvil cast forge; do
    PATH="$ROOT/hardhat-local/node_modules/@foundry-rs/$tool-linux-$ARCH/bin:$PATH"
done
export PATH="$ROOT/.venv/bin:$PATH"
# ape and py-solc-x look for compilers here, by version.
export SOLCX_BINARY_PATH="$ROOT/build/solcx"
export APE_DATA_FOLDER="$ROOT/build/ape"
mkdir -p "$SOLCX_BINARY_PATH" "$APE_DATA_FOLDER"
ln -sf "$ROOT/hardhat-local/solc.cjs" \
    "$SOLCX_BINARY_PATH/solc-v$(node -p "require('$ROOT/hardhat-local/node_modules/solc/package.json').version")"
