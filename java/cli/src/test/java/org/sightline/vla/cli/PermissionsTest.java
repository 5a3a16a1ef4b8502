package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Random;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.Permissions;
import org.sightline.vla.data.TestData;
import org.sightline.vla.tabletop.TabletopGenerator;

/** What may not be read, searched or written is named, and is not taken for absent. */
class PermissionsTest {
  @TempDir private static Path folder;

  @BeforeAll
  static void aRun() throws IOException {
    TabletopGenerator.generate(folder.resolve("data"), new TabletopGenerator.Options(3, 1, 64, 3));
    Files.write(folder.resolve("image"), TestData.png(TestData.noise(16, 16, new Random(1))));
    Files.writeString(folder.resolve("run.yaml"), "steps: 1\n");
    Files.createDirectory(folder.resolve("cache"));
    Cli.succeed(
        "finetune --output %1$s/run --data %1$s/data --modes align --steps 1 --rank 1 --batch-size 1"
            .formatted(folder));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "data                            | --------- | inspect DIR/data",
        "data/dataset_info.json          | --------- | inspect DIR/data",
        "data/features.json              | --------- | eval --data DIR/data --adapter DIR/run/align",
        "image                           | --------- | act --image DIR/image --instruction x --adapter DIR/run/align",
        "run                             | --------- | inspect DIR/run",
        "run/run.json                    | --------- | inspect DIR/run",
        "run/align/log.csv               | --------- | inspect DIR/run",
        "run/align                       | --------- | export --adapter DIR/run/align --output DIR/out",
        "run/align/adapter_config.json   | --------- | export --adapter DIR/run/align --output DIR/out",
        "run/align/adapter_model.safetensors | ----- | export --adapter DIR/run/align --output DIR/out",
        "run/align/dataset_statistics.json | ------- | export --adapter DIR/run/align --output DIR/out",
        "run/base                        | --------- | plan --weights DIR/run/base",
        "run/base/config.json            | --------- | plan --weights DIR/run/base",
        "run/base/model.safetensors      | --------- | plan --weights DIR/run/base",
        "run/base/tokenizer.json         | --------- | eval --data DIR/data --adapter DIR/run/align",
        "run.yaml                        | --------- | finetune --config DIR/run.yaml --output DIR/out",
        "run/.lock                       | --------- | finetune --resume DIR/run",
        "run                             | r-x------ | finetune --resume DIR/run",
        "cache                           | r-x------ | finetune --data DIR/data --steps 1 --teacher-cache DIR/cache --views 1 --output DIR/out",
        "                                | r-x------ | finetune --data DIR/data --steps 1 --output DIR/out",
        "                                | r-x------ | export --adapter DIR/run/align --output DIR/out",
        "                                | --------- | inspect DIR/data",
      })
  void isNamed(String name, String mode, String command) throws Exception {
    Path path = name == null ? folder : folder.resolve(name);
    var before = Files.getPosixFilePermissions(path);
    var limited = PosixFilePermissions.fromString((mode + "-----").substring(0, 9));
    Files.setPosixFilePermissions(path, limited);
    try {
      Permissions.enforced(
          () -> {
            Cli cli = Cli.run(command.replace("DIR", folder.toString()));
            assertEquals(2, cli.exitCode(), cli.err());
            assertTrue(cli.err().startsWith("sightline: " + path), cli.err());
            assertTrue(cli.err().toLowerCase().contains("permission denied"), cli.err());
          });
    } finally {
      Files.setPosixFilePermissions(path, before);
    }
    assertFalse(Files.exists(folder.resolve("out")));
  }
}
