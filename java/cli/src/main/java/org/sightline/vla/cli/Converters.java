package org.sightline.vla.cli;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import org.sightline.DType;
import org.sightline.vla.checkpoint.HubCache;
import org.sightline.vla.memory.ByteCount;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** From an option's text to its value. */
final class Converters {
  private Converters() {}

  /** A model: its path, or an id that is in the cache of the Hugging Face Hub. */
  static final class Model implements ITypeConverter<Path> {
    @Override
    public Path convert(String name) {
      return HubCache.ofUser().find(name);
    }
  }

  /** A number of bytes. */
  static final class Bytes implements ITypeConverter<Long> {
    @Override
    public Long convert(String text) {
      try {
        return ByteCount.parse(text);
      } catch (IllegalArgumentException e) {
        throw new TypeConversionException(e.getMessage());
      }
    }
  }

  /** Types of numbers by Sightline's, PyTorch's and short names. */
  static final class OfDType implements ITypeConverter<DType> {
    @Override
    public DType convert(String text) {
      String name = text.toLowerCase(Locale.ROOT).replace('_', '-');
      return switch (name.replaceFirst("^torch\\.", "")) {
        case "float32", "fp32", "float" -> DType.FLOAT32;
        case "bfloat16", "bf16" -> DType.BFLOAT16;
        default ->
            throw new TypeConversionException(
                "expected one of %s, found \"%s\""
                    .formatted(Arrays.toString(DType.values()), text));
      };
    }
  }
}
