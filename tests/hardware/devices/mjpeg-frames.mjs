// Makes the pictures of the guest's MJPEG camera into a directory: red left, blue right, a white bar that moves.
// Every second one comes as webcams send them, 4:2:2 and without Huffman tables, which MJPEG leaves to the standard;
// one is cut short, as a bad cable does.
//
//   node mjpeg-frames.mjs DIRECTORY WIDTH HEIGHT

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';

const FRAMES = 12;
const CUT_SHORT = 7;

const [directory, width, height] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
for (let frame = 0; frame < FRAMES; frame++) {
  const left = Math.round((width * frame) / FRAMES);
  const webcam = frame % 2 === 1;
  let jpeg = execFileSync('convert', [
    '-size', `${width}x${height}`, 'xc:rgb(200,20,20)',
    '-fill', 'rgb(20,20,200)', '-draw', `rectangle ${width / 2},0 ${width},${height}`,
    '-fill', 'white', '-draw', `rectangle ${left},0 ${left + width / FRAMES},${height / 4}`,
    '-define', 'jpeg:optimize-coding=false', '-sampling-factor', webcam ? '2x1' : '2x2', '-quality', '85', 'jpeg:-',
  ]);
  if (webcam) jpeg = withoutHuffmanTables(jpeg);
  if (frame === CUT_SHORT) jpeg = jpeg.subarray(0, jpeg.length / 2);
  writeFileSync(`${directory}/${String(frame).padStart(2, '0')}.jpg`, jpeg);
}

/** Drops the DHT segments (ITU-T T.81, B.2.4.2) before the start of the scan. */
function withoutHuffmanTables(jpeg) {
  const kept = [jpeg.subarray(0, 2)];
  for (let at = 2; ;) {
    const marker = jpeg[at + 1];
    if (marker === 0xda) return Buffer.concat([...kept, jpeg.subarray(at)]);
    const end = at + 2 + jpeg.readUInt16BE(at + 2);
    if (marker !== 0xc4) kept.push(jpeg.subarray(at, end));
    at = end;
  }
}
