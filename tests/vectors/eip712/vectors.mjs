// Makes order signatures with a wallet library, and checks files of them. Usage: see README.md.
import { readFileSync, writeFileSync } from 'node:fs';
import { hashTypedData, recoverTypedDataAddress } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';

const SEED = 1329n;
const ORDERS = 48;

// The contract, section 4.
const types = {
  Order: [
    { name: 'market', type: 'string' },
    { name: 'side', type: 'string' },
    { name: 'orderType', type: 'string' },
    { name: 'price', type: 'string' },
    { name: 'size', type: 'string' },
    { name: 'orderId', type: 'string' },
    { name: 'expiresAtMs', type: 'uint64' },
  ],
};

function typedData({ chainId, order }) {
  return {
    domain: { name: 'FlashGuard', version: '1', chainId },
    types,
    primaryType: 'Order',
    message: { ...order, expiresAtMs: BigInt(order.expiresAtMs) },
  };
}

// SplitMix64, so that the file is the same on every machine.
function* random(seed) {
  const mask = (1n << 64n) - 1n;
  for (let state = seed; ; ) {
    state = (state + 0x9e3779b97f4a7c15n) & mask;
    let z = state;
    z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & mask;
    z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & mask;
    yield z ^ (z >> 31n);
  }
}

function decimal(units, places) {
  const digits = units.toString().padStart(places + 1, '0');
  const fraction = places === 0 ? '' : digits.slice(-places).replace(/0+$/, '');
  const whole = places === 0 ? digits : digits.slice(0, -places);
  return fraction === '' ? whole : `${whole}.${fraction}`;
}

async function generate() {
  const numbers = random(SEED);
  const next = () => numbers.next().value;
  const pick = (list) => list[Number(next() % BigInt(list.length))];
  const hex = (words) => Array.from({ length: words }, () => next().toString(16).padStart(16, '0')).join('');
  const vectors = [];
  for (let n = 0; n < ORDERS; n += 1) {
    const [market, priceDecimals, sizeDecimals] = pick([['SEI/USDC', 4, 0], ['ETH/USDC', 2, 3]]);
    const id = hex(2);
    const order = {
      market,
      side: pick(['buy', 'sell']),
      orderType: pick(['limit', 'post_only', 'ioc']),
      price: decimal(1n + (next() % 10_000_000n), priceDecimals),
      size: decimal(1n + (next() % 10n ** BigInt(1 + (n % 9))), sizeDecimals),
      orderId: `${id.slice(0, 8)}-${id.slice(8, 12)}-7${id.slice(13, 16)}-8${id.slice(17, 20)}-${id.slice(20)}`,
      expiresAtMs: [1_795_519_533_000n + (next() % 100_000n), 0n, 1n, 253_402_300_799_999n][n < 4 ? n : 0].toString(),
    };
    const chainId = n % 4 === 3 ? pick([1, 713_715, 4_294_967_297]) : 1329;
    const privateKey = `0x${hex(4)}`;
    const account = privateKeyToAccount(privateKey);
    const data = typedData({ chainId, order });
    const signature = await account.signTypedData(data);
    vectors.push({ chainId, privateKey, signer: account.address, order, digest: hashTypedData(data), signature });
  }
  return vectors;
}

async function verify(vectors) {
  const wrong = [];
  for (const [n, vector] of vectors.entries()) {
    const data = typedData(vector);
    const signer = await recoverTypedDataAddress({ ...data, signature: vector.signature }).catch(() => 'nobody');
    if (signer !== vector.signer) wrong.push(`${n}: signed by ${signer}, not by ${vector.signer}`);
    if (hashTypedData(data) !== vector.digest) wrong.push(`${n}: another digest`);
  }
  return wrong;
}

const [, , mode, file] = process.argv;
if (mode === 'generate' && file) {
  const vectors = await generate();
  writeFileSync(file, `${JSON.stringify(vectors, null, 1)}\n`);
  console.log(`${vectors.length} orders signed`);
} else if (mode === 'verify' && file) {
  const vectors = JSON.parse(readFileSync(file, 'utf8'));
  const wrong = await verify(vectors);
  wrong.forEach((line) => console.error(line));
  console.log(`${vectors.length - wrong.length} of ${vectors.length} signatures are their signer's`);
  process.exitCode = wrong.length === 0 && vectors.length > 0 ? 0 : 1;
} else {
  console.error('usage: node vectors.mjs generate|verify FILE');
  process.exitCode = 2;
}
