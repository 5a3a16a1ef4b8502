package org.sightline.vla.cli;

import java.nio.file.Path;
import java.util.List;
import org.sightline.train.LayerReduction;
import org.sightline.train.TeacherNorm;
import org.sightline.vla.finetune.AlignmentConfig;
import org.sightline.vla.finetune.JobConfigBuilder;
import org.sightline.vla.finetune.ProjectorInit;
import picocli.CommandLine.Help;
import picocli.CommandLine.Option;

/** The teacher, and what is pulled towards it. */
final class AlignmentOptions {
  @Option(
      names = "--teacher",
      converter = Converters.Model.class,
      paramLabel = "PATH",
      description =
          "Vision teacher: a Hugging Face folder, the id of a downloaded one (nvidia/C-RADIOv3-L), or"
              + " a safetensors file.")
  private Path teacher;

  @Option(
      names = "--teacher-preset",
      paramLabel = "NAME",
      description =
          "Which teacher --teacher is, where no config.json says so: c-radio_v3-l, dinov2_vitl14, "
              + "siglip-so400m-patch14-224, theia-base-patch16-224, …")
  private String teacherPreset;

  @Option(
      names = "--teacher-cache",
      paramLabel = "DIR",
      description = "Keep the teacher's features here: each view of an image is computed once.")
  private Path teacherCache;

  @Option(names = "--lambda", description = "Weight of the alignment loss.")
  private double lambda = AlignmentConfig.DEFAULTS.lambda();

  @Option(
      names = "--layers",
      split = ",",
      paramLabel = "LAYER",
      showDefaultValue = Help.Visibility.NEVER,
      description = "Aligned layers, 0 = embeddings; without it the preset's.")
  private List<Integer> layers = List.of();

  @Option(
      names = "--layer-reduction",
      description = "Several layers' losses: ${COMPLETION-CANDIDATES}.")
  private LayerReduction layerReduction = AlignmentConfig.DEFAULTS.layerReduction();

  @Option(
      names = "--teacher-norm",
      description =
          "The teacher's features first: ${COMPLETION-CANDIDATES}; spatial is iREPA's, over an image's"
              + " tokens.")
  private TeacherNorm teacherNorm = AlignmentConfig.DEFAULTS.teacherNorm();

  @Option(
      names = "--projector-init",
      paramLabel = ProjectorInit.FORM,
      description =
          "Frozen projectors: random, or fitted to the base model before the first mode, in 300 steps"
              + " or so many.")
  private String projectorInit = AlignmentConfig.DEFAULTS.projectorInit().toString();

  @Option(
      names = "--projector-size",
      paramLabel = "P",
      description = "Hidden width of the alignment projector (2048 in the paper).")
  private int projectorSize = AlignmentConfig.DEFAULTS.projectorSize();

  @Option(
      names = "--train-projector",
      description = "Train the alignment projectors too; the paper keeps them frozen.")
  private boolean trainProjector;

  @Option(
      names = "--projector-dropout",
      description = "Dropout of trained projectors (0.1 in the paper's code).")
  private double projectorDropout = AlignmentConfig.DEFAULTS.projectorDropout();

  void addTo(JobConfigBuilder job) {
    job.teacher(teacher)
        .teacherPreset(teacherPreset)
        .teacherCache(teacherCache)
        .alignment(
            AlignmentConfig.builder()
                .lambda(lambda)
                .layers(layers)
                .layerReduction(layerReduction)
                .teacherNorm(teacherNorm)
                .projectorInit(ProjectorInit.of(projectorInit))
                .projectorSize(projectorSize)
                .trainProjector(trainProjector)
                .projectorDropout(projectorDropout)
                .build());
  }
}
