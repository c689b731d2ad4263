// The baked skin under this picture's make-up, hair and (compiled in with BEARD) beard, with light.
in vec3 v_world;
in vec3 v_normal;
in vec4 v_rest;
in float v_scalp;
in vec2 v_atlas;
uniform sampler2D u_albedo;
uniform sampler2D u_relief;
uniform sampler2D u_mask_a;    // lip distance, brow across, brow along, beard
uniform sampler2D u_mask_b;    // wrinkles, eye bags, blush, moustache
uniform vec4 u_lipstick;       // colour, amount
uniform vec4 u_eyeshadow;
uniform vec3 u_hair;
uniform float u_scalp_cover;   // undercoat of hair: 0 bald .. 1
uniform float u_recede;        // cm by which the hairline has moved up at the temples (hair.growth.receded)
uniform float u_fade;          // how much the undercoat thins towards sides and nape
uniform vec3 u_beard;          // colour
uniform vec4 u_beard_cover;    // density on cheeks and jaw, upper lip, chin; share that single roots make up (stubble)
uniform vec3 u_person;         // noise offset
uniform float u_hair_class;
uniform float u_darkness;      // 0 pale .. 1 dark
out vec4 f_colour;

void main() {
    vec3 rest = v_rest.xyz;
    float covered = 0.0;
    vec4 baked = texture(u_albedo, v_atlas);
    vec4 relief = texture(u_relief, v_atlas);
    vec3 skin = baked.rgb * baked.rgb;
    float gloss = baked.a;
    float shade = sqrt(dot(skin, vec3(0.33)));
    float lip = relief.b * u_lipstick.a;
    skin = mix(skin, u_lipstick.rgb * (0.35 + 0.9 * shade), lip);
    gloss = mix(gloss, 1.0, lip);
    skin = mix(skin, u_eyeshadow.rgb * (0.4 + 0.6 * shade), relief.a * u_eyeshadow.a * smoothstep(2.9, 3.9, rest.y));
    float side = abs(rest.x);
#ifdef BEARD
    vec2 uv = vec2((rest.x + 10.0) / 20.0, (rest.y + 14.0) / 28.0);
    vec4 a = texture(u_mask_a, uv), b = texture(u_mask_b, uv);
    float chin = smoothstep(3.4, 2.4, side) * smoothstep(-2.2, -3.2, rest.y) * smoothstep(6.5, 8.0, rest.z);
    float jaw = smoothstep(2.2, 3.8, rest.z - 0.9 * max(-5.5 - rest.y, 0.0));
    float beard = max(a.a * jaw * max(u_beard_cover.x, chin * u_beard_cover.z), b.a * u_beard_cover.y * smoothstep(-1.0, 2.0, rest.z));
    float roots = smoothstep(0.35, 0.75, texture(u_noise, rest * vec3(1.7, 1.1, 1.7) + u_person).a);
    beard *= smoothstep(0.08, 0.35, a.r) * mix(1.0, 0.35 + 1.1 * roots, u_beard_cover.w);
    skin = mix(skin, u_beard, clamp(beard, 0.0, 0.95));
    gloss *= 1.0 - beard * 0.8;
    covered = beard * (1.0 - u_beard_cover.w);   // stubble is skin
#endif
    if (v_scalp > -0.8 && u_scalp_cover > 0.0) {
        float temples = exp(-(side - 5.0) * (side - 5.0) / 4.84) + 0.35 * exp(-side * side / 16.0);
        float above = v_scalp - u_recede * temples * smoothstep(0.0, 4.0, rest.z);
        float hair = smoothstep(-0.1, 1.5, above + 0.5 * (texture(u_noise, rest * 0.35).b - 0.5)) * u_scalp_cover;
        hair *= 1.0 - u_fade * smoothstep(9.0, 1.0, rest.y) * (1.0 - 0.5 * smoothstep(0.0, 4.0, above));
        float grain = texture(u_noise, rest * 1.1).g;
        hair = clamp(hair * (1.0 + 0.9 * (grain - 0.5) * (1.0 - hair)), 0.0, 1.0);   // single roots where it is thin
        skin = mix(skin, u_hair * (0.5 + 0.35 * grain), hair);
        gloss *= 1.0 - hair * 0.8;
        covered = max(covered, hair);
    }

    vec3 smooth_normal = normalize(v_normal);
    vec3 slope = u_head * vec3((relief.rg - 0.5) / 1.2, 0.0);
    vec3 n = normalize(smooth_normal - (slope - smooth_normal * dot(slope, smooth_normal)));
    if (!gl_FrontFacing) { n = -n; smooth_normal = -smooth_normal; }
    vec3 v = to_camera(v_world);
    f_colour = developed(lit_skin(skin, v_world, n, smooth_normal, v, v_rest.w, gloss, u_darkness), covered > 0.5 ? u_hair_class : u_class);
}
