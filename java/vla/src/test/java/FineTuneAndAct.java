import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.sightline.train.Mode;
import org.sightline.vla.data.image.ImageCodec;
import org.sightline.vla.finetune.*;
import org.sightline.vla.policy.*;

public class FineTuneAndAct {
  public static void main(String[] args) throws Exception { // RLDS folder, output folder, image
    Path output = Path.of(args[1]);
    JobConfig config =
        JobConfig.builder(output) // .base(…) and .teacher(…) name pretrained ones
            .modes(List.of(Mode.ALIGN))
            .data(DataConfig.of(Path.of(args[0])))
            .training(TrainingConfig.builder().steps(20).batchSize(4).build())
            .build();
    try (FineTuneJob job = FineTuneJob.open(config)) {
      job.run();
    }
    try (Policy policy = Policy.load(output.resolve("align"))) {
      Action action = policy.act(ImageCodec.read(Path.of(args[2])), "put the spoon on the towel");
      System.out.println(Arrays.toString(action.values()));
    }
  }
}
