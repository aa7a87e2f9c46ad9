"""GStreamer's webrtcbin as the callee of a page, for comparison: 720p at 30 pictures a second in H.264, and a tone.

Serves on loopback what `fresh` of ../end_to_end.js presses, prints the port, and ends when its standard input does.
Each offer gets a pipeline of its own, which runs before the offer comes; the answer has the
first candidate in it and waits for no other, as nothing is left to find on loopback.
"""

import os
import queue
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import gi

for name, version in (("Nice", "0.1"), ("Gst", "1.0"), ("GstSdp", "1.0"), ("GstWebRTC", "1.0")):
    gi.require_version(name, version)
from gi.repository import Gst, GstSdp, GstWebRTC, Nice  # noqa: E402

PIPELINE = """
    webrtcbin name=peer bundle-policy=max-bundle
    videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=1280,height=720,framerate=30/1
        ! openh264enc bitrate=2000000 gop-size=300 complexity=low usage-type=camera
        ! video/x-h264,profile=constrained-baseline ! h264parse config-interval=-1
        ! rtph264pay aggregate-mode=zero-latency
        ! application/x-rtp,media=video,encoding-name=H264,clock-rate=90000,payload={video} ! peer.
    audiotestsrc is-live=true volume=0.1 ! audio/x-raw,rate=48000,channels=1 ! opusenc frame-size=20
        ! rtpopuspay ! application/x-rtp,media=audio,encoding-name=OPUS,clock-rate=48000,payload={audio} ! peer.
"""
PAGE = b"""<!doctype html><title>webrtcbin</title><link rel="icon" href="data:,">
<form id="call"><input id="target"></form><div class="tile" data-peer="webrtcbin"></div>
<script type="module">
document.querySelector('#call').addEventListener('submit', async (event) => {
  event.preventDefault();
  const tile = document.querySelector('.tile');
  const video = Object.assign(document.createElement('video'), { muted: true, autoplay: true, playsInline: true });
  tile.append(video);
  const microphone = navigator.mediaDevices.getUserMedia({ audio: true });
  const peer = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  window.peer = peer;
  peer.ontrack = ({ streams: [stream], track }) => {
    if (track.kind === 'video') video.srcObject = stream ?? new MediaStream([track]);
  };
  const sound = peer.addTransceiver('audio', { direction: 'sendrecv' });
  peer.addTransceiver('video', { direction: 'recvonly' });
  void microphone.then((stream) => sound.sender.replaceTrack(stream.getAudioTracks()[0]));
  const offer = await peer.createOffer();
  await peer.setLocalDescription(offer);
  const answer = await (await fetch('/offer', { method: 'POST', body: peer.localDescription.sdp })).text();
  await peer.setRemoteDescription({ type: 'answer', sdp: answer });
});
</script>"""


KEPT = []


class Callee:
    """One connection."""

    def __init__(self, video, audio):
        self.payloads = (video, audio)
        self.pipeline = Gst.parse_launch(PIPELINE.format(video=video, audio=audio))
        self.peer = self.pipeline.get_by_name("peer")
        self.peer.connect("pad-added", self.hear)
        loopback = Nice.Address.new()
        loopback.set_from_string("127.0.0.1")
        # In GStreamer 1.22 reading the property takes a reference that nobody gave: never let go of what it returned.
        ice = self.peer.get_property("ice-agent")
        KEPT.append(ice)
        ice.get_property("agent").add_local_address(loopback)
        self.candidates = queue.SimpleQueue()
        self.peer.connect("on-ice-candidate", lambda _, section, candidate: self.candidates.put(candidate))
        self.pipeline.set_state(Gst.State.PLAYING)

    def answer(self, offer):
        _, message = GstSdp.SDPMessage.new_from_text(offer)
        offered = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.OFFER, message)
        self.ask("set-remote-description", offered)
        # The answer lives as long as the reply that it lies in, and that as long as the promise.
        made = self.ask("create-answer", None)
        reply = made.get_reply()
        self.ask("set-local-description", reply.get_value("answer"))
        local = self.peer.get_property("local-description")
        head, first, *others = local.sdp.as_text().split("m=")
        return "m=".join([head, f"{first}a={self.candidates.get(timeout=10)}\r\n", *others])

    def ask(self, action, argument):
        promise = Gst.Promise.new()
        self.peer.emit(action, argument, promise)
        promise.wait()
        return promise

    def hear(self, _, pad):
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        sink = Gst.ElementFactory.make("fakesink")
        self.pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

    def end(self):
        self.pipeline.set_state(Gst.State.NULL)


def payload(offer, codec, profile):
    """The payload type that the offer gives the codec, in packetization mode 1 with this profile."""
    lines = offer.splitlines()
    types = [l.split(":")[1].split()[0] for l in lines if l.startswith("a=rtpmap:") and f" {codec}" in l]
    for number in types:
        parameters = "".join(l for l in lines if l.startswith(f"a=fmtp:{number} "))
        if not profile or (f"profile-level-id={profile}" in parameters and "packetization-mode=1" in parameters):
            return number
    raise ValueError(f"no {codec} in the offer")


class Requests(BaseHTTPRequestHandler):
    """One browser after the other: its payload types stay what they were."""

    callee = None
    ready = None

    def do_GET(self):
        if Requests.callee:
            Requests.callee.end()
            Requests.callee, Requests.ready = None, Callee(*Requests.payloads)
        self.reply("text/html", PAGE)

    def do_POST(self):
        offer = self.rfile.read(int(self.headers["content-length"])).decode()
        payloads = (payload(offer, "H264/90000", "42e01f"), payload(offer, "opus/48000", ""))
        callee = Requests.ready if Requests.ready and Requests.ready.payloads == payloads else Callee(*payloads)
        self.reply("application/sdp", callee.answer(offer).encode())
        Requests.callee, Requests.ready, Requests.payloads = callee, None, payloads

    def reply(self, kind, body):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


Gst.init(None)
server = ThreadingHTTPServer(("127.0.0.1", 0), Requests)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
os._exit(0)
