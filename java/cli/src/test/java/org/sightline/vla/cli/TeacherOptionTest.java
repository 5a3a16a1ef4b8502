package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.vla.tabletop.TabletopGenerator;
import org.sightline.vla.teacher.TinyTeacher;

/** {@code finetune --teacher} with a published teacher, and with one that cannot be used. */
class TeacherOptionTest {
  @TempDir private Path folder;
  private Path teacher;

  @BeforeEach
  void writeTeacher() throws IOException {
    teacher = Files.createDirectory(folder.resolve("teacher"));
    TinyTeacher.write(teacher);
    TabletopGenerator.generate(folder.resolve("data"), new TabletopGenerator.Options(4, 1, 64, 3));
  }

  private Cli finetune(String teacherOptions) {
    return Cli.run(
        "finetune --output %s --overwrite --data %s --modes align --steps 1 --evaluations 1 %s"
            .formatted(folder.resolve("out"), folder.resolve("data"), teacherOptions));
  }

  private void refused(String teacherOptions, String message) {
    Cli cli = finetune(teacherOptions);
    assertEquals(2, cli.exitCode(), cli.err());
    assertTrue(cli.err().contains(message), cli.err());
  }

  @Test
  void aHuggingFaceFolderTeaches() {
    Cli cli = finetune("--teacher " + teacher);
    assertEquals(0, cli.exitCode(), cli.err());
    assertTrue(cli.out().contains("teacher  dinov2; aligned layers [2]"), cli.out());
    assertTrue(cli.out().contains("Model weights are random (seed 7)"), cli.out());
  }

  @Test
  void aFileOfAnotherModelThanItsPresetIsRefused() {
    Path file = teacher.resolve("model.safetensors");
    refused(
        "--teacher %s --teacher-preset dinov2_vitb14".formatted(file),
        "sightline: " + file + ": tensors: do not fit dinov2_vitb14 as Hugging Face's");
    refused("--teacher " + file, "found no configuration of a teacher in __metadata__");
  }

  @Test
  void aTeacherThatCannotBeReadIsRefused() throws IOException {
    Path config = teacher.resolve("config.json");
    Files.writeString(config, "{\"model_type\": \"clip\"}");
    refused(
        "--teacher " + teacher,
        "sightline: " + config + ": architecture: found model_type clip, architecture none");

    Path file = teacher.resolve("model.safetensors");
    Files.write(file, Arrays.copyOf(Files.readAllBytes(file), 3000));
    refused(
        "--teacher " + teacher,
        "sightline: " + teacher + ": shards: a defect\n  " + file + ": data: ");

    Files.delete(file);
    refused(
        "--teacher " + teacher,
        teacher + ": found neither model.safetensors nor model.safetensors.index.json");
  }
}
