package org.sightline.vla.data.image;

/**
 * The random image augmentation of OpenVLA's training, which the paper keeps: a crop of fixed area
 * at a random place, resized back to the whole, then brightness, contrast, saturation and hue. It
 * follows the resize to the model's input size, works on fp32 values in [0,1] that are clipped to
 * [0,1] after each operation, and ends in bytes again (see {@link ImageOps}).
 *
 * <p>Order and arithmetic are those of {@code dlimp.augmentations.augment_image} with TensorFlow's
 * image operations. One thing differs: dlimp passes one and the same stateless seed to every
 * operation, so a single uniform number decides all of them (the crop only ever moves along the
 * diagonal, and a bright image is always the contrasty one). Here each parameter has a number of
 * its own.
 *
 * <p>The paper's evaluation feeds whole images to a model that was trained on crops of 90 % of the
 * area, that is, everything looks 5 % smaller. {@link #centre} is the matching view without
 * randomness.
 *
 * @param cropArea share of the image's area that a crop keeps, above 0 to 1
 * @param brightness the largest offset added to all values, either way
 * @param contrast values' distance from their channel's mean is scaled by 1 ± this
 * @param saturation HSV saturation is scaled by 1 ± this
 * @param hue the largest rotation of the hue, either way, in turns
 */
public record Augmentation(
    double cropArea, double brightness, double contrast, double saturation, double hue) {
  /** Crops of 90 %, brightness 0.2, contrast and saturation 0.8–1.2, hue 0.05. */
  public static final Augmentation PAPER = new Augmentation(0.9, 0.2, 0.2, 0.2, 0.05);

  public Augmentation {
    check("cropArea", cropArea, 0, 1);
    if (cropArea == 0) {
      throw new IllegalArgumentException("cropArea: found 0.0, expected above 0 to 1");
    }
    check("brightness", brightness, 0, 1);
    check("contrast", contrast, 0, 1);
    check("saturation", saturation, 0, 1);
    check("hue", hue, 0, 0.5);
  }

  private static void check(String name, double value, double low, double high) {
    if (!(value >= low && value <= high)) {
      throw new IllegalArgumentException(
          name + ": found " + value + ", expected " + low + " to " + high);
    }
  }

  /**
   * An image as augmented by the random numbers of a key: always the same bytes for the same image
   * and key.
   */
  RgbImage apply(RgbImage image, long key) {
    double side = Math.sqrt(cropArea);
    float top = (float) CounterRandom.uniform(key, 0, 0, 1 - side);
    float left = (float) CounterRandom.uniform(key, 1, 0, 1 - side);
    float[] rgb = ImageOps.cropAndResize(image, top, left, (float) side);
    ImageOps.adjustBrightness(rgb, symmetric(key, 2, brightness));
    ImageOps.adjustContrast(rgb, 1 + symmetric(key, 3, contrast));
    ImageOps.adjustSaturation(rgb, 1 + symmetric(key, 4, saturation));
    ImageOps.adjustHue(rgb, symmetric(key, 5, hue));
    return ImageOps.toBytes(rgb, image.width(), image.height());
  }

  /** The crop from the middle, resized back: how a model trained on crops is to see an image. */
  public RgbImage centre(RgbImage image) {
    double side = Math.sqrt(cropArea);
    float margin = (float) ((1 - side) / 2);
    float[] rgb = ImageOps.cropAndResize(image, margin, margin, (float) side);
    return ImageOps.toBytes(rgb, image.width(), image.height());
  }

  private static float symmetric(long key, int index, double range) {
    return (float) CounterRandom.uniform(key, index, -range, range);
  }
}
