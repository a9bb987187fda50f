// The colour map viridis: perceptually uniform, readable without colour vision and in print.
// Sixteen of its colours, interpolated.

const ANCHORS = [
  0x440154, 0x481a6c, 0x472f7d, 0x414487, 0x39568c, 0x31688e, 0x2a788e, 0x23888e,
  0x1f988b, 0x22a884, 0x35b779, 0x54c568, 0x7ad151, 0xa5db36, 0xd2e21b, 0xfde725,
];

/** [red, green, blue] of a share from 0 to 1. */
export function viridis(share) {
  const at = Math.min(Math.max(share, 0), 1) * (ANCHORS.length - 1);
  const i = Math.min(Math.floor(at), ANCHORS.length - 2);
  const mix = (shift) => {
    const [a, b] = [(ANCHORS[i] >> shift) & 255, (ANCHORS[i + 1] >> shift) & 255];
    return Math.round(a + (b - a) * (at - i));
  };
  return [mix(16), mix(8), mix(0)];
}
