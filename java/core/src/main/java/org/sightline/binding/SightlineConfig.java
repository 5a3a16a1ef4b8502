package org.sightline.binding;

import org.bytedeco.javacpp.annotation.Platform;
import org.bytedeco.javacpp.annotation.Properties;
import org.bytedeco.javacpp.tools.Info;
import org.bytedeco.javacpp.tools.InfoMap;
import org.bytedeco.javacpp.tools.InfoMapper;

/**
 * Tells JavaCPP how to turn {@code sightline.h} into the classes of this package: one class per
 * struct and {@code sightline} for the functions, over {@code libjnisightline}.
 */
@Properties(
    // "@.0.1" is the ABI version in the soname, libsightline.so.0.1.
    value = @Platform(include = "sightline/sightline.h", link = "sightline@.0.1"),
    target = "org.sightline.binding",
    global = "org.sightline.binding.sightline")
public class SightlineConfig implements InfoMapper {
  @Override
  public void map(InfoMap infoMap) {
    infoMap
        // No exception crosses the C ABI, so the JNI code needs no handler around each call.
        .put(new Info("SL_API").cppTypes().annotations("@NoException(true)"))
        .put(new Info("SIGHTLINE_SIGHTLINE_H").skip());
  }
}
