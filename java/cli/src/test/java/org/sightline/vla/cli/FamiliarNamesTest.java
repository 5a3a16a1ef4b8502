package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.vla.memory.ByteCount;
import picocli.CommandLine;

/** Others' names of options are taken for ours, on the command line and in files. */
class FamiliarNamesTest {
  private static final CommandLine ROOT =
      new CommandLine(CommandLine.Model.CommandSpec.create())
          .addSubcommand(new FineTuneCommand())
          .addSubcommand(new ActCommand());

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        // OpenVLA's finetune.py, Hugging Face's Trainer, PEFT.
        "finetune --vla_path a/b --max_steps 5 --image_aug False | finetune --weights a/b --steps 5 --no-augment",
        "finetune --learning_rate=1e-3 --grad_accumulation_steps 2 | finetune --lr=1e-3 --gradient-accumulation-steps 2",
        "finetune --per_device_train_batch_size 4 --output_dir x | finetune --batch-size 4 --output x",
        "finetune --lora-r 8 --lora_alpha 16 --LORA_DROPOUT 0.1 | finetune --rank 8 --alpha 16 --dropout 0.1",
        "finetune --overwrite_output_dir True --resume x | finetune --overwrite --resume x",
        "finetune --gradient_checkpointing=False --steps 1 | finetune --steps 1",
        "finetune --image-aug | finetune --augment",
        // Nothing is taken for an option that the command does not have.
        "act --learning_rate 1 --model m | act --learning_rate 1 --weights m",
        "finetune --no-augment --epochs 3 | finetune --no-augment --epochs 3",
        "bake --learning_rate 1 | bake --learning_rate 1",
      })
  void optionsOfTheSameMeaningAreOurs(String given, String expected) {
    assertEquals(
        List.of(expected.split(" ")), List.of(FamiliarNames.translate(ROOT, given.split(" "))));
  }

  @Test
  void everyNameStandsForAnOption() {
    for (String ours : FamiliarNames.SAME.values()) {
      assertTrue(
          ROOT.getSubcommands().values().stream()
              .anyMatch(command -> command.getCommandSpec().findOption("--" + ours) != null),
          ours);
    }
  }

  @Test
  void filesMayHaveThemToo(@TempDir Path folder) throws Exception {
    Path file =
        Files.writeString(
            folder.resolve("run.yaml"),
            "learning_rate: 0.25\nimage-aug: false\ndtype: torch.bfloat16\noutput_dir: out");
    CommandLine line =
        new CommandLine(new FineTuneCommand()).setCaseInsensitiveEnumValuesAllowed(true);
    ConfigDefaults.install(line, "--config", file.toString());
    line.parseArgs("--config", file.toString());
    assertEquals(0.25, (Double) line.getCommandSpec().findOption("--lr").getValue());
    assertEquals(false, line.getCommandSpec().findOption("--augment").getValue());
    assertEquals(
        org.sightline.DType.BFLOAT16, line.getCommandSpec().findOption("--dtype").getValue());
  }

  @ParameterizedTest
  @CsvSource({
    "80, 80000000000",
    "80GB, 80000000000",
    "16.5, 16500000000",
    "5B, 5",
    "1GiB, 1073741824",
    "2000000, 2000000"
  })
  void aSmallNumberOfBytesIsOneOfGigabytes(String text, long bytes) {
    assertEquals(bytes, ByteCount.parse(text));
  }
}
