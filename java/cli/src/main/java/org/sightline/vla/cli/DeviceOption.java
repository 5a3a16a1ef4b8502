package org.sightline.vla.cli;

import org.sightline.Device;
import picocli.CommandLine.Option;

/** Where a command computes. */
final class DeviceOption {
  @Option(
      names = "--device",
      paramLabel = "NAME",
      defaultValue = "auto",
      description = "cpu, cuda, cuda:N, or auto: cuda where it works, else cpu.")
  private String name;

  Device device() {
    return Device.of(name);
  }
}
