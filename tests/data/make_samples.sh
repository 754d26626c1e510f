#!/bin/sh
# Makes the sample files under tests/data/files and the demo's media under webchat_soap/demo, once.
# They are committed, so the tests need none of these programs. Debian 12:
#   apt-get install --no-install-recommends ffmpeg sox libsox-fmt-all imagemagick libheif-examples \
#       libreoffice-writer libreoffice-calc libreoffice-impress fonts-dejavu-core
set -eu
here=$(cd "$(dirname "$0")" && pwd)
files="$here/files"
demo="$here/../../webchat_soap/demo"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$files/image" "$files/audio" "$files/video" "$files/document" "$demo"

av() { ffmpeg -hide_banner -loglevel error -nostdin -y "$@"; }
office() { # office FILTER SOURCE TARGET
    soffice --headless "-env:UserInstallation=file://$work/profile" --convert-to "$1" --outdir "$work/out" "$2" >/dev/null 2>&1
    mv "$work/out/$(basename "${2%.*}").${1%%:*}" "$3"
}

# Pictures: 24 by 16 pixels, so that width and height cannot be mistaken for one another.
cd "$files/image"
convert -size 24x16 gradient:navy-orange -depth 8 -strip "$work/base.png"
convert "$work/base.png" -strip picture.png
convert "$work/base.png" -strip -interlace PNG -colors 16 palette.png
convert "$work/base.png" -strip -quality 80 picture.jpg
convert "$work/base.png" -strip -quality 80 -interlace JPEG -set comment 'progressive' progressive.jpg
convert -delay 20 "$work/base.png" \( "$work/base.png" -flip \) -loop 0 picture.gif
convert "$work/base.png" -strip -quality 80 lossy.webp
convert "$work/base.png" -strip -define webp:lossless=true lossless.webp
av -f lavfi -i testsrc=size=24x16:rate=4:duration=0.5 -c:v libwebp_anim -quality 50 animated.webp
convert "$work/base.png" -strip -type TrueColor BMP3:picture.bmp
convert "$work/base.png" -strip -colors 8 -compress none BMP3:palette.bmp
convert "$work/base.png" -strip -compress zip picture.tiff
convert "$work/base.png" -strip -define tiff:endian=msb -compress none bigendian.tiff
heif-enc -q 50 "$work/base.png" -o picture.heic >/dev/null
av -i "$work/base.png" -pix_fmt yuv420p -c:v libaom-av1 -still-picture 1 -frames:v 1 picture.avif

# Sound: half a second of 440 Hz.
cd "$files/audio"
sox -n -r 8000 -c 1 -b 16 "$work/tone.wav" synth 0.5 sine 440 vol 0.5
cp "$work/tone.wav" pcm.wav
sox "$work/tone.wav" -e a-law alaw.wav
av -i "$work/tone.wav" -ar 16000 -b:a 16k -metadata title=tone id3.mp3
av -i "$work/tone.wav" -ar 16000 -b:a 16k -id3v2_version 0 -write_xing 0 plain.mp3
av -i "$work/tone.wav" -ar 16000 -c:a libvorbis -q:a 0 vorbis.ogg
av -i "$work/tone.wav" -ar 16000 -c:a libopus -b:a 8k opus.ogg
av -i "$work/tone.wav" tone.flac
av -i "$work/tone.wav" -c:a aac -b:a 16k tone.m4a
av -i "$work/tone.wav" -c:a aac -b:a 16k -f adts tone.aac
sox "$work/tone.wav" -t amr-nb tone.amr
av -i "$work/tone.wav" -c:a libopus -b:a 8k -f webm tone.weba

# Video: one second of 48 by 32 pixels with sound.
cd "$files/video"
pattern="-f lavfi -i testsrc=size=48x32:rate=5:duration=1 -f lavfi -i sine=frequency=440:sample_rate=16000:duration=1"
h264="-c:v libx264 -preset veryslow -crf 40 -pix_fmt yuv420p -x264-params sei=0 -c:a aac -b:a 16k -shortest"
av $pattern $h264 moov_at_end.mp4
av $pattern $h264 -movflags +faststart faststart.mp4
av $pattern $h264 -movflags +frag_keyframe+empty_moov+default_base_moof fragmented.mp4
av $pattern $h264 clip.mov
av $pattern $h264 -f matroska clip.mkv
av $pattern -c:v libvpx -b:v 20k -c:a libopus -b:a 8k clip.webm
av $pattern -c:v libvpx -b:v 20k -c:a libopus -b:a 8k -f webm -live 1 pipe: >live.webm
av $pattern -c:v mpeg4 -b:v 20k -c:a libmp3lame -b:a 16k clip.avi
av -f lavfi -i testsrc=size=176x144:rate=5:duration=1 -c:v h263 -b:v 10k -f 3gp clip.3gp
av $pattern -c:v libtheora -q:v 1 -c:a libvorbis -q:a 0 clip.ogv

# Documents.
cd "$files/document"
printf 'Merhaba, dünya: ş ğ ı İ ç ö ü. A small text.\n' >"$work/text.txt"
printf 'name,city\nAyşe,İzmir\nJosé,"São Paulo"\n' >"$work/table.csv"
cat >"$work/slides.fodp" <<'X'
<?xml version="1.0" encoding="UTF-8"?>
<office:document xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:draw="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0" xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" xmlns:svg="urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0" office:version="1.3" office:mimetype="application/vnd.oasis.opendocument.presentation"><office:body><office:presentation><draw:page draw:name="one"><draw:frame svg:x="2cm" svg:y="2cm" svg:width="10cm" svg:height="3cm"><draw:text-box><text:p>A small slide</text:p></draw:text-box></draw:frame></draw:page></office:presentation></office:body></office:document>
X
mkdir -p "$work/out" "$work/profile/user"
# Without thumbnails, which would double the documents (the PPT gets one all the same, and loses it below).
cat >"$work/profile/user/registrymodifications.xcu" <<'X'
<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry"><item oor:path="/org.openoffice.Office.Common/Save/Document"><prop oor:name="GenerateThumbnail" oor:op="fuse"><value>false</value></prop></item></oor:items>
X
cp "$work/text.txt" utf8.txt
iconv -f UTF-8 -t UTF-16LE "$work/text.txt" | { printf '\377\376'; cat; } >utf16.txt
iconv -f UTF-8 -t CP1254 "$work/text.txt" >windows1254.txt
cp "$work/table.csv" table.csv
for kind in pdf doc docx odt rtf; do office "$kind" "$work/text.txt" "text.$kind"; done
for kind in xls xlsx ods; do office "$kind" "$work/table.csv" "table.$kind"; done
for kind in ppt pptx odp; do office "$kind" "$work/slides.fodp" "slides.$kind"; done

# LibreOffice gives every PPT a thumbnail of 430 KiB, which no setting keeps away. All else stays as it was written.
cat >"$work/drop_stream.py" <<'X'
"""Takes the stream named in argv[2] out of the OLE file argv[1] (version 3) and closes the gap that it leaves."""
import struct, sys
path, dropped = sys.argv[1:]
data = open(path, "rb").read()
FREE, END, FATSECT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
header = bytearray(data[:512])
sector = lambda number: data[512 * (number + 1) : 512 * (number + 2)]
fat = [n for place in struct.unpack_from("<109I", header, 76) if place < FATSECT for n in struct.unpack("<128I", sector(place))]
def chain(number):
    while number < FATSECT:
        yield number
        number = fat[number]
directory = bytearray(b"".join(map(sector, chain(struct.unpack_from("<I", header, 48)[0]))))
out, new_fat = [], []
def keep(numbers):
    numbers = list(numbers)
    start = len(out)
    out.extend(map(sector, numbers))
    new_fat.extend([*range(start + 1, start + len(numbers)), END] if numbers else [])
    return start if numbers else END
for at in range(0, len(directory), 128):
    length, kind = struct.unpack_from("<HB", directory, at + 64)
    name = directory[at : at + max(0, length - 2)].decode("utf-16-le")
    start, size = struct.unpack_from("<II", directory, at + 116)
    if name == dropped:
        struct.pack_into("<II", directory, at + 116, END, 0)
    elif kind == 5 or (kind == 2 and size >= 4096):
        struct.pack_into("<I", directory, at + 116, keep(chain(start)))
struct.pack_into("<I", header, 60, keep(chain(struct.unpack_from("<I", header, 60)[0])))
start = len(out)
out += [bytes(directory[at : at + 512]) for at in range(0, len(directory), 512)]
new_fat += [*range(start + 1, len(out)), END]
struct.pack_into("<I", header, 48, start)
assert len(new_fat) < 128
new_fat += [FATSECT] + [FREE] * (127 - len(new_fat))
struct.pack_into("<I", header, 44, 1)
struct.pack_into("<109I", header, 76, len(out), *[FREE] * 108)
out.append(struct.pack("<128I", *new_fat))
open(path, "wb").write(bytes(header) + b"".join(out))
X
python3 "$work/drop_stream.py" slides.ppt "$(printf '\005SummaryInformation')"

# The demo's media.
cd "$demo"
convert -size 640x400 gradient:'#274690-#f4b860' \
    -fill '#ffe8b0' -draw 'circle 470,150 470,105' \
    -fill '#33658a' -draw 'polygon 0,400 0,280 140,190 300,320 420,230 640,340 640,400' \
    -fill '#1f3a52' -draw 'polygon 0,400 0,350 180,300 360,370 520,310 640,380 640,400' \
    -depth 8 -strip -define png:compression-level=9 picture.png
chime="0.5*exp(-3*t)*sin(2*PI*523.25*t)+0.35*gt(t\,0.25)*exp(-3*(t-0.25))*sin(2*PI*659.25*t)+0.3*gt(t\,0.5)*exp(-2.5*(t-0.5))*sin(2*PI*783.99*t)"
av -f lavfi -i "aevalsrc=$chime:duration=2.2:sample_rate=44100" -af 'afade=t=out:st=1.9:d=0.3' -c:a libmp3lame -b:a 64k \
    -metadata title='Webchat demo chime' sound.mp3
av -f lavfi -i 'gradients=size=480x270:rate=24:duration=3:c0=#274690:c1=#f4b860:c2=#33658a:nb_colors=3:seed=7:speed=0.03' \
    -f lavfi -i "aevalsrc=$chime:duration=3:sample_rate=44100" \
    -c:v libx264 -preset slow -crf 30 -pix_fmt yuv420p -c:a aac -b:a 48k -movflags +faststart -metadata title='Webchat demo video' video.mp4
cat >"$work/document.fodt" <<'X'
<?xml version="1.0" encoding="UTF-8"?>
<office:document xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" xmlns:style="urn:oasis:names:tc:opendocument:xmlns:style:1.0" xmlns:fo="urn:oasis:names:tc:opendocument:xmlns:xsl-fo-compatible:1.0" office:version="1.3" office:mimetype="application/vnd.oasis.opendocument.text"><office:automatic-styles><style:style style:name="T" style:family="paragraph"><style:paragraph-properties fo:margin-bottom="0.5cm"/><style:text-properties fo:font-size="24pt" fo:font-weight="bold" fo:color="#274690"/></style:style><style:style style:name="B" style:family="paragraph"><style:paragraph-properties fo:margin-bottom="0.3cm"/><style:text-properties fo:font-size="12pt"/></style:style></office:automatic-styles><office:body><office:text><text:p text:style-name="T">Webchat demo document</text:p><text:p text:style-name="B">This one-page PDF is part of the demo chat. It stands for any document that a customer may send: a contract, a bill, a form.</text:p><text:p text:style-name="B">The service downloaded it, proved from its bytes that it is a PDF, stored it under a name of its own, and posted it to the chat with a link.</text:p></office:text></office:body></office:document>
X
office pdf "$work/document.fodt" document.pdf
