"""Statistics of simulated and real fields, and pictures of both side by side.

    python compare.py SIMULATED DATA OUT

SIMULATED is an output folder of `write_plate` (example `plate`), DATA the folder with the real
sets, OUT where the pictures go; the table is printed as Markdown. Only openly licensed pixels get
into the pictures: aisegcell (CC BY 4.0) and bbbc038-u2os (CC0); of celldetective (GPL) there are
numbers only.

contrast  standard deviation over mean, after removal of the slow illumination (Gaussian, 30 px)
noise     robust estimate from the Laplacian (Immerkaer 1996), over the mean, in percent
slope     slope of log radial power over log frequency between 0.02 and 0.25 cycles per pixel
octaves   share in percent of the power in 1/128-1/64, .. , 1/4-1/2 cycles per pixel
"""

import sys
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from scipy import ndimage


def statistics(image):
    image = np.asarray(image, float)
    image = image[: min(image.shape), : min(image.shape)]
    flat = image - ndimage.gaussian_filter(image, 30, mode="reflect")
    laplacian = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    second = ndimage.convolve(image, laplacian)[1:-1, 1:-1]
    noise = np.median(np.abs(second - np.median(second))) * 1.4826 / 6
    n = image.shape[0]
    window = np.outer(np.hanning(n), np.hanning(n))
    power = np.abs(np.fft.fft2(flat * window)) ** 2
    f = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.fftfreq(n)[None, :])
    edges = np.geomspace(0.02, 0.25, 13)
    radial = [power[(f >= a) & (f < b)].mean() for a, b in zip(edges, edges[1:])]
    slope = np.polyfit(np.log(np.sqrt(edges[1:] * edges[:-1])), np.log(radial), 1)[0]
    octaves = np.array([power[(f >= 2.0**-k) & (f < 2.0 ** (1 - k))].sum() for k in range(7, 1, -1)])
    return [flat.std() / image.mean(), 100 * noise / image.mean(), slope, *(100 * octaves / octaves.sum())]


def row(name, images):
    values = [statistics(image) for image in images]
    middle = np.median(values, 0)
    cells = [f"{middle[0]:.3f}", f"{middle[1]:.2f}", f"{middle[2]:.1f}"]
    cells.append(" / ".join(f"{v:.0f}" for v in middle[3:]))
    print(f"| {name} | {len(values)} | " + " | ".join(cells) + " |")


def grey(image, size):
    image = np.asarray(image, float)[:size, :size]
    low, high = np.percentile(image, [0.3, 99.7])
    return np.uint8(np.clip((image - low) / (high - low), 0, 1) * 255)


def main():
    simulated, data, out = map(Path, sys.argv[1:4])
    steps = {z: sorted(simulated.glob(f"plate/*/TimePoint_1/ZStep_{z}/*_w1.TIF")) for z in (1, 2, 3)}
    stains = {w: sorted(simulated.glob(f"plate/*/TimePoint_1/ZStep_1/*_w{w}.TIF")) for w in (2, 3)}
    read = lambda files: [tifffile.imread(f) for f in files]
    png = lambda folder: [np.array(Image.open(f)) for f in sorted((data / folder).glob("*.png"))]
    cells = [f for f in sorted((data / "celldetective").glob("*.tif")) if "_labels" not in f.name]
    cells = [tifffile.imread(f) for f in cells]
    sephace = tifffile.imread(data / "sephace/set1_bf.tif")

    print("| brightfield | fields | contrast | noise % | slope | octaves |")
    print("|---|---|---|---|---|---|")
    for z, name in ((1, "-3 um"), (2, "nominal"), (3, "+3 um")):
        row(f"simulated, {name}", read(steps[z]))
    row("celldetective", [c[0] for c in cells])
    bf = png("aisegcell/bf")
    row("aisegcell", bf)
    row("sephace, -10 um", [sephace[1]])
    row("sephace, focus", [sephace[2], sephace[3]])
    row("sephace, +10 um", [sephace[4]])
    row("bf_mito_hoechst", [np.array(Image.open(data / "bf_mito_hoechst/1919_bf.png"))])
    print()
    print("| nuclear stain | fields | contrast | noise % | slope | octaves |")
    print("|---|---|---|---|---|---|")
    row("simulated", read(stains[2]))
    row("celldetective", [c[1] for c in cells])
    u2os = png("bbbc038-u2os/images")
    row("bbbc038-u2os", u2os)
    print()
    print("| mitochondrial stain | fields | contrast | noise % | slope | octaves |")
    print("|---|---|---|---|---|---|")
    row("simulated", read(stains[3]))
    row("bf_mito_hoechst", [np.array(Image.open(data / "bf_mito_hoechst/1919_mito.png"))])

    side = 420
    join = lambda rows: np.vstack([np.hstack(r) for r in rows])
    first = [grey(read(steps[z][:1])[0], side) for z in (1, 2, 3)]
    classes = tifffile.imread(sorted(simulated.glob("truth/classes/*.tif"))[0])[:side, :side]
    truth = np.array([0, 255, 128], np.uint8)[classes]
    parts = [grey(read(stains[w][:1])[0], side) for w in (2, 3)]
    Image.fromarray(join([first, [*parts, truth]])).save(out / "simulated.png")
    ours = [grey(read([steps[2][i]])[0], side) for i in (0, 1)]
    real = [grey(bf[i][300:, 300:], side) for i in (-1, 0)]
    Image.fromarray(join([ours + real])).save(out / "brightfield-beside-real.png")
    ours = [grey(read([stains[2][i]])[0], side) for i in (0, 1)]
    real = [grey(u2os[i], side) for i in (0, 5)]
    Image.fromarray(join([ours + real])).save(out / "nuclei-beside-real.png")


main()
